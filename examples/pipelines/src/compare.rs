//! Whether what was read back is what was written.

use crate::Result;

/// Compares one by one, and counts. `what` names one of them.
pub fn compare<T, E>(
    what: &str,
    read: impl IntoIterator<Item = Result<T, E>>,
    written: impl IntoIterator<Item = T>,
) -> Result<usize>
where
    T: PartialEq,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut written = written.into_iter();
    let mut count = 0;
    for found in read {
        let found = found.map_err(Into::into)?;
        let Some(expected) = written.next() else {
            return Err(
                format!("there is a {what} more than the {count} that were written").into(),
            );
        };
        if found != expected {
            return Err(format!("{what} {count} is not what was written").into());
        }
        count += 1;
    }
    match written.count() {
        0 => Ok(count),
        missing => {
            let written = count + missing;
            Err(format!("there are only {count} of the {written} that were written").into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn outcome(read: &[u32]) -> String {
        let read = read.iter().map(|row| Ok::<_, Infallible>(*row));
        match compare("row", read, [10, 11, 12]) {
            Ok(count) => format!("{count} are equal"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn only_the_same_rows_in_the_same_order_are_equal() {
        assert_eq!(outcome(&[10, 11, 12]), "3 are equal");
        assert_eq!(outcome(&[10, 12, 11]), "row 1 is not what was written");
        assert_eq!(
            outcome(&[10]),
            "there are only 1 of the 3 that were written"
        );
        assert_eq!(
            outcome(&[10, 11, 12, 12]),
            "there is a row more than the 3 that were written"
        );
    }
}
