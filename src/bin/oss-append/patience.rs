//! How long delivery is tried: `--delivery-timeout`.

use std::str::FromStr;
use std::time::Duration;

/// The value of `--delivery-timeout`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience(pub(crate) Duration);

impl Patience {
    /// Longer than any process runs.
    const FOREVER: Self = Self(Duration::MAX);
}

impl FromStr for Patience {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "forever" => Ok(Self::FOREVER),
            _ => match humantime::parse_duration(text) {
                Ok(timeout) => Ok(Self(timeout)),
                Err(error) => Err(format!(
                    "it is neither forever nor a duration such as 5m: {error}"
                )),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_has_a_length_or_no_end() {
        assert_eq!("5m".parse(), Ok(Patience(Duration::from_secs(300))));
        assert_eq!("forever".parse(), Ok(Patience::FOREVER));
        for text in ["", "5", "Forever", "never", "-1s"] {
            assert!(text.parse::<Patience>().is_err(), "{text:?}");
        }
    }
}
