//! Periods as they are given: `--roll` and `--utc-offset`.

use std::str::FromStr;
use std::time::Duration;

/// The value of `--roll`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period(pub(crate) Duration);

impl Period {
    const HOUR: Self = Self(Duration::from_secs(60 * 60));
    const DAY: Self = Self(Duration::from_secs(24 * 60 * 60));
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "hourly" => Ok(Self::HOUR),
            "daily" => Ok(Self::DAY),
            _ => match humantime::parse_duration(text) {
                Ok(every) => Ok(Self(every)),
                Err(error) => Err(format!(
                    "it is neither hourly nor daily nor a duration such as 10m: {error}"
                )),
            },
        }
    }
}

/// The value of `--utc-offset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UtcOffset {
    /// To the east.
    pub(crate) seconds: i32,
}

impl FromStr for UtcOffset {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (sign, rest) = match text.split_at_checked(1)? {
                ("+", rest) => (1, rest),
                ("-", rest) => (-1, rest),
                _ => return None,
            };
            let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "00"));
            let number = |digits: &str, below| {
                let two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
                let number = digits.parse::<i32>().ok()?;
                (two && number < below).then_some(number)
            };
            Some(sign * (number(hours, 24)? * 60 + number(minutes, 60)?) * 60)
        };
        let seconds = parse().ok_or("it is not of the form +HH:MM or -HH:MM")?;
        Ok(Self { seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_names_or_lengths() {
        for (text, seconds) in [
            ("hourly", 3600),
            ("daily", 86_400),
            ("10m", 600),
            ("1h 30m", 5400),
        ] {
            assert_eq!(text.parse(), Ok(Period(Duration::from_secs(seconds))));
        }
        for text in ["", "10", "weekly", "Hourly", "-1h"] {
            assert!(text.parse::<Period>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn offsets_are_hours_and_minutes() {
        for (text, seconds) in [
            ("+08:00", 8 * 3600),
            ("+08", 8 * 3600),
            ("-03:30", -(3 * 3600 + 1800)),
            ("+00:00", 0),
            ("-00:00", 0),
            ("+23:59", 86_340),
        ] {
            assert_eq!(text.parse(), Ok(UtcOffset { seconds }), "{text}");
        }
        for text in [
            "",
            "+",
            "8",
            "08:00",
            "+8:00",
            "+8",
            "+24:00",
            "+08:60",
            "+08:0",
            "+0800",
            "++8:00",
            "+08:",
            "+08:00:00",
            "Z",
            "ü8:00",
        ] {
            assert!(text.parse::<UtcOffset>().is_err(), "{text:?}");
        }
    }
}
