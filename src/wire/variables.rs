//! The environment variables of the process, or what a program gives instead of them, as people set
//! them: from files with a line break at the end, or with quotes left around them.
//!
//! White space around a value is ignored. A value that cannot be meant is refused at once, with the
//! name of the variable and what to do, and never with the value, which may be a secret.

use std::ffi::OsString;
use std::fmt;
use std::sync::Arc;

use crate::error::{Error, Result};

type Lookup = dyn Fn(&str) -> Option<OsString> + Send + Sync;

/// Where variables are looked up. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Variables(Arc<Lookup>);

impl Variables {
    #[cfg(any(feature = "credentials", test))]
    pub(crate) fn new(lookup: impl Fn(&str) -> Option<OsString> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// The value; `None` if it is unset or blank.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, String> {
        let wrong = |why: &str| Err(format!("the environment variable {name} {why}"));
        let value = match (self.0)(name).map(OsString::into_string) {
            None => return Ok(None),
            Some(Ok(value)) => value,
            Some(Err(_)) => return wrong("is not valid UTF-8"),
        };
        // Before most of a file there is one that no editor shows.
        let value = value.trim_start_matches('\u{feff}').trim();
        if value.is_empty() {
            return Ok(None);
        }
        if value.starts_with(QUOTES) || value.ends_with(QUOTES) {
            return wrong(
                "has a quotation mark at an end, which became part of the value: take it off \
                 (docker --env-file and systemd's EnvironmentFile do not do it as a shell does)",
            );
        }
        if value.contains(char::is_control) {
            return wrong("has a line break or another control character in it: set one line");
        }
        Ok(Some(value.to_owned()))
    }

    /// As [`read`](Self::read), of a variable for credentials.
    pub(crate) fn get(&self, name: &str) -> Result<Option<String>> {
        self.read(name).map_err(Error::credentials)
    }

    /// As [`get`](Self::get), of a key or token, which is one word.
    pub(crate) fn word(&self, name: &str) -> Result<Option<String>> {
        let value = self.get(name)?;
        match &value {
            Some(word) if !word.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(Error::credentials(format!(
                    "the environment variable {name} has a space or another character in it that \
                     is in no key: something else was taken for it, or two values"
                )))
            }
            _ => Ok(value),
        }
    }

    /// As [`word`](Self::word), which must be there.
    pub(crate) fn require_word(&self, name: &str) -> Result<String> {
        self.word(name)?.ok_or_else(|| missing(name))
    }

    /// Whether the value is `true`, in any case.
    #[cfg(feature = "credentials")]
    pub(crate) fn is_true(&self, name: &str) -> Result<bool> {
        Ok(self
            .get(name)?
            .is_some_and(|value| value.eq_ignore_ascii_case("true")))
    }

    /// As [`get`](Self::get), which must be there.
    #[cfg(feature = "credentials")]
    pub(crate) fn require(&self, name: &str) -> Result<String> {
        self.get(name)?.ok_or_else(|| missing(name))
    }
}

const QUOTES: [char; 6] = ['"', '\'', '“', '”', '‘', '’'];

fn missing(name: &str) -> Error {
    Error::credentials(format!(
        "the environment variable {name} is not set or empty"
    ))
}

/// Those of the process.
impl Default for Variables {
    fn default() -> Self {
        Self(Arc::new(|name| std::env::var_os(name)))
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Variables")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<String>, String> {
        let value = OsString::from(value);
        Variables::new(move |_| Some(value.clone())).read("NAME")
    }

    #[test]
    fn white_space_around_a_value_is_left_out() {
        for value in [
            "it",
            " it",
            "it\n",
            "it\r\n",
            "\tit ",
            "\u{feff}it",
            "\n\nit\u{a0}",
        ] {
            assert_eq!(read(value), Ok(Some("it".into())), "{value:?}");
        }
        for blank in ["", " ", "\n", "\r\n", "\u{feff}"] {
            assert_eq!(read(blank), Ok(None), "{blank:?}");
        }
        assert_eq!(Variables::new(|_| None).read("NAME"), Ok(None));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name_and_not_shown() {
        for (value, what) in [
            ("\"hush\"", "quotation mark"),
            ("'hush'\n", "quotation mark"),
            ("hush\"", "quotation mark"),
            ("“hush”", "quotation mark"),
            ("hush\nhush", "line break"),
            ("hush\rhush", "line break"),
            ("hush\0", "control"),
        ] {
            let why = read(value).unwrap_err();
            assert!(why.contains("NAME") && why.contains(what), "{why}");
            assert!(!why.contains("hush"), "{why}");
        }
    }

    #[test]
    fn a_key_is_one_word() {
        for value in ["hush hush", "hush\u{200b}", "schlüssel"] {
            let variables = Variables::new(move |_| Some(value.into()));
            let why = variables.word("NAME").unwrap_err().to_string();
            assert!(why.contains("NAME") && !why.contains(value), "{why}");
            variables.get("NAME").unwrap();
        }
        let variables = Variables::new(|_| Some(" LTAI5t/+= \n".into()));
        assert_eq!(variables.require_word("NAME").unwrap(), "LTAI5t/+=");
    }
}
