//! Keys from the fields of records.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Error, Result};
use crate::rolling::KeyTemplate;
use crate::rolling::template::{Piece, hash, host, parse_with_fields};
use crate::values::path::check_key;

/// What stays as it is in a value: letters, digits and these.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// A template for keys, filled in with the fields of a record.
#[derive(Debug)]
pub(super) struct FieldTemplate {
    text: String,
    parts: Vec<Part>,
    /// The keys are templates themselves.
    rolling: bool,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Field(String),
    Hash,
}

impl FieldTemplate {
    pub(super) fn new(text: &str, rolling: bool) -> Result<Self> {
        let bad = |what| Error::invalid_input(format!("key template {text:?}: {what}"));
        let pieces = parse_with_fields(text).map_err(bad)?;
        check_fields(&pieces).map_err(bad)?;
        let part = |piece: Piece| {
            Ok(match piece {
                Piece::Field(name) => Part::Field(name),
                piece if rolling => Part::Text(piece.to_string()),
                Piece::Text(text) => Part::Text(text),
                Piece::Host => Part::Text(host()),
                Piece::Pid => Part::Text(std::process::id().to_string()),
                Piece::Hash => Part::Hash,
                Piece::Time(_) | Piece::Seq { .. } | Piece::Uuid => {
                    return Err(bad(format!(
                        "{piece} is for a sequence of objects for each key: use `rolling`"
                    )));
                }
            })
        };
        let template = Self {
            text: text.into(),
            parts: pieces.into_iter().map(part).collect::<Result<_>>()?,
            rolling,
        };
        let sample = template.fill(|_| Ok("x"))?;
        let checked = match rolling {
            true => KeyTemplate::new(sample).map(drop),
            false => check_key(&sample).map_err(Error::from),
        };
        match checked {
            Ok(()) => Ok(template),
            Err(error) => Err(bad(error.kind().to_string())),
        }
    }

    /// The key of a record with these fields.
    pub(super) fn key(&self, fields: &[(&str, &str)]) -> Result<String> {
        let bad = |name: &str, what| {
            let text = &self.text;
            Error::invalid_input(format!("key template {text:?}: the field {name:?} {what}"))
        };
        self.fill(|name| {
            let mut values = fields.iter().filter(|(field, _)| *field == name);
            match (values.next(), values.next()) {
                (None, _) => Err(bad(name, "is missing")),
                (Some(_), Some(_)) => Err(bad(name, "is there twice")),
                (Some((_, "")), None) => Err(bad(name, "is empty")),
                (Some((_, value)), None) => Ok(value),
            }
        })
    }

    fn fill<'a>(&self, value: impl Fn(&str) -> Result<&'a str>) -> Result<String> {
        let mut key = String::new();
        let mut hashes = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => key.push_str(text),
                Part::Field(name) => self.push_value(&mut key, value(name)?),
                Part::Hash => hashes.push(key.len()),
            }
        }
        if !hashes.is_empty() {
            let hash = hash(&key);
            for at in hashes.into_iter().rev() {
                key.insert_str(at, &hash);
            }
        }
        Ok(key)
    }

    /// Two values are never encoded alike, and none has a slash or is only dots then.
    fn push_value(&self, key: &mut String, value: &str) {
        let dots = value.bytes().all(|byte| byte == b'.');
        let set = if dots { NON_ALPHANUMERIC } else { ENCODED };
        for piece in utf8_percent_encode(value, set) {
            // In a template a percent sign is written twice.
            if self.rolling && piece.starts_with('%') {
                key.push('%');
            }
            key.push_str(piece);
        }
    }
}

/// Refuses what would let the values of one record look like those of another.
fn check_fields(pieces: &[Piece]) -> Result<(), String> {
    let mut last: Option<&Piece> = None;
    let mut between = String::new();
    let mut found = false;
    for piece in pieces {
        match piece {
            Piece::Text(text) => between.push_str(text),
            Piece::Field(_) | Piece::Seq { .. } => {
                let apart = match (last, piece) {
                    (None, _) => true,
                    (Some(Piece::Field(_)), Piece::Field(_)) => {
                        let kept = |c: char| c.is_ascii_alphanumeric() || "-_.%".contains(c);
                        between.contains(|c: char| !kept(c))
                    }
                    _ => between.contains(|c: char| !c.is_ascii_digit()),
                };
                if let (false, Some(last)) = (apart, last) {
                    return Err(format!(
                        "{last} and {piece} cannot be told apart in a key: put a / between them"
                    ));
                }
                found |= matches!(piece, Piece::Field(_));
                last = Some(piece);
                between.clear();
            }
            _ => {}
        }
    }
    match found {
        true => Ok(()),
        false => Err("it has no {field}, so that all records would have the same key".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    fn template(text: &str, rolling: bool) -> FieldTemplate {
        FieldTemplate::new(text, rolling).unwrap()
    }

    fn refusal(text: &str, rolling: bool) -> String {
        FieldTemplate::new(text, rolling).unwrap_err().to_string()
    }

    #[test]
    fn fields_are_filled_in() {
        let template = template("{tenant}/100%%/{{}}/{kind}/{tenant}.log", false);
        let fields = [("kind", "x"), ("more", "y"), ("tenant", "a")];
        assert_eq!(template.key(&fields).unwrap(), "a/100%/{}/x/a.log");
    }

    #[test]
    fn the_fields_of_all_templates_are_known() {
        let plain = template("{hash}/{pid}/{host}/{a}", false);
        let rest = format!("/{}/{}/v", std::process::id(), host());
        assert_eq!(
            plain.key(&[("a", "v")]).unwrap(),
            format!("{}{rest}", hash(&rest))
        );
        let text = "{hash}/%Y-%m-%d/100%%/{{{host}-{pid}-{uuid}/{a}/{seq:6}";
        assert_eq!(
            template(text, true).key(&[("a", "5%")]).unwrap(),
            text.replace("{a}", "5%%25")
        );
    }

    #[test]
    fn what_is_special_in_a_value_is_encoded() {
        for (value, shown) in [
            ("Az09-_.", "Az09-_."),
            ("../b", "..%2Fb"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("a/b\\c", "a%2Fb%5Cc"),
            ("a%2Fb", "a%252Fb"),
            ("{seq}%Y", "%7Bseq%7D%25Y"),
            ("a\n\0", "a%0A%00"),
            ("ü", "%C3%BC"),
            ("a b+c", "a%20b%2Bc"),
        ] {
            let key = template("t/{a}", false).key(&[("a", value)]).unwrap();
            assert_eq!(key, format!("t/{shown}"));
            let key = template("t/{a}/{seq}", true).key(&[("a", value)]).unwrap();
            let names = KeyTemplate::new(key).unwrap();
            let names = names.names_at(std::time::UNIX_EPOCH, 0);
            assert_eq!(names.key(1), format!("t/{shown}/1"));
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, rolling, reason) in [
            ("app.log", false, "it has no {field}"),
            ("app-{seq}.log", true, "it has no {field}"),
            ("{a}{b}", false, "{a} and {b} cannot be told apart"),
            ("{a}-x_{b}", false, "{a} and {b} cannot be told apart"),
            ("{a}{host}%H{b}", true, "{a} and {b} cannot be told apart"),
            ("{a}0{seq}", true, "{a} and {seq:1} cannot be told apart"),
            ("{seq:3}{a}", true, "{seq:3} and {a} cannot be told apart"),
            ("{a}/{seq}", false, "{seq:1} is for a sequence"),
            ("%Y/{a}", false, "%Y is for a sequence"),
            ("{uuid}/{a}", false, "{uuid} is for a sequence"),
            ("{a b}", false, "unknown field {a b}"),
            ("{1}", false, "unknown field {1}"),
            ("{}", false, "unknown field {}"),
            ("{a", false, "a { has no } after it"),
            ("/{a}", false, "begins with a slash"),
            ("/{a}/{seq}", true, "begins with a slash"),
        ] {
            let refusal = refusal(text, rolling);
            assert!(refusal.contains(reason), "{text:?}: {refusal}");
        }
    }

    #[test]
    fn fields_that_make_no_key_are_named() {
        let template = template("t/{a}/{b}", false);
        for (fields, reason) in [
            (&[("a", "1")][..], "the field \"b\" is missing"),
            (&[("a", "1"), ("b", "")], "the field \"b\" is empty"),
            (
                &[("a", "1"), ("b", "2"), ("a", "1")],
                "the field \"a\" is there twice",
            ),
        ] {
            let error = template.key(fields).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn the_values_can_be_read_from_the_key(one in ".{1,9}", other in "[./%{}a-]{1,4}") {
            let key = template("t/{a}/x-{b}.log", false).key(&[("a", &one), ("b", &other)]).unwrap();
            prop_assert!(check_key(&key).is_ok(), "{key:?}");
            let values = key.strip_prefix("t/").unwrap().strip_suffix(".log").unwrap();
            let (a, b) = values.split_once('/').unwrap();
            let decoded = |value: &str| percent_decode_str(value).decode_utf8().unwrap().into_owned();
            prop_assert_eq!(decoded(a), one);
            prop_assert_eq!(decoded(b.strip_prefix("x-").unwrap()), other);
        }
    }
}
