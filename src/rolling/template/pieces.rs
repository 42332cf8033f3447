//! The grammar of templates: from text to pieces, and back.

use jiff::Timestamp;

use super::fields::moment;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    /// One strftime field.
    Time(String),
    Seq {
        width: usize,
    },
    Host,
    Pid,
    Uuid,
    Hash,
    /// A field of a record, which a template of its own does not have.
    #[cfg_attr(not(feature = "keyed"), allow(dead_code, reason = "for `keyed`"))]
    Field(String),
}

/// As it is written in a template.
#[cfg(feature = "keyed")]
impl std::fmt::Display for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => text.chars().try_for_each(|c| match c {
                '%' | '{' | '}' => write!(f, "{c}{c}"),
                c => write!(f, "{c}"),
            }),
            Self::Time(field) => f.write_str(field),
            Self::Seq { width } => write!(f, "{{seq:{width}}}"),
            Self::Host => f.write_str("{host}"),
            Self::Pid => f.write_str("{pid}"),
            Self::Uuid => f.write_str("{uuid}"),
            Self::Hash => f.write_str("{hash}"),
            Self::Field(name) => write!(f, "{{{name}}}"),
        }
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<Piece>, String> {
    parse_by(text, brace_field)
}

/// The pieces of a template in which every name that has no other meaning is a field of a record.
#[cfg(feature = "keyed")]
pub(crate) fn parse_with_fields(text: &str) -> Result<Vec<Piece>, String> {
    let is_name = |field: &str| {
        let rest = |c: char| c.is_ascii_alphanumeric() || ['_', '-', '.'].contains(&c);
        field.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && field.chars().all(rest)
    };
    parse_by(text, |field| match brace_field(field) {
        Err(_) if is_name(field) => Ok(Piece::Field(field.into())),
        parsed => parsed,
    })
}

fn parse_by(
    text: &str,
    brace_field: impl Fn(&str) -> Result<Piece, String>,
) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['%', '{', '}']) {
        push_text(&mut pieces, &rest[..at]);
        rest = &rest[at..];
        if ["%%", "{{", "}}"]
            .iter()
            .any(|twice| rest.starts_with(twice))
        {
            push_text(&mut pieces, &rest[..1]);
            rest = &rest[2..];
        } else if rest.starts_with('%') {
            let (field, tail) = rest.split_at(time_field_len(rest));
            pieces.push(time_field(field)?);
            rest = tail;
        } else {
            let (field, tail) = rest
                .strip_prefix('{')
                .ok_or("a } has no { before it: write }} for a brace")?
                .split_once('}')
                .ok_or("a { has no } after it: write {{ for a brace")?;
            let field = brace_field(field)?;
            if matches!(field, Piece::Seq { .. })
                && pieces.iter().any(|p| matches!(p, Piece::Seq { .. }))
            {
                return Err("{seq} occurs twice: once is allowed".into());
            }
            pieces.push(field);
            rest = tail;
        }
    }
    push_text(&mut pieces, rest);
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, more: &str) {
    match pieces.last_mut() {
        _ if more.is_empty() => {}
        Some(Piece::Text(text)) => text.push_str(more),
        _ => pieces.push(Piece::Text(more.into())),
    }
}

/// How long the strftime field at the beginning of `text` is, by jiff's grammar: `%`, a flag, a
/// width, colons, a dot with a precision, a letter.
fn time_field_len(text: &str) -> usize {
    let rest = &text[1..];
    let rest = rest.strip_prefix(['_', '0', '-', '^', '#']).unwrap_or(rest);
    let rest = without_digits(rest);
    let colons = rest.bytes().take(3).take_while(|b| *b == b':').count();
    let rest = &rest[colons..];
    let rest = rest.strip_prefix('.').map_or(rest, without_digits);
    let letter = rest.chars().next().map_or(0, char::len_utf8);
    text.len() - rest.len() + letter
}

fn without_digits(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_ascii_digit())
}

fn time_field(field: &str) -> Result<Piece, String> {
    let sample = moment(Timestamp::UNIX_EPOCH, 0);
    match sample.to_string(field) {
        Ok(_) => Ok(Piece::Time(field.into())),
        Err(error) => Err(format!(
            "{field:?} is not a time field ({error}): write %% for a percent sign"
        )),
    }
}

fn brace_field(field: &str) -> Result<Piece, String> {
    Ok(match field {
        "seq" => Piece::Seq { width: 1 },
        "host" => Piece::Host,
        "pid" => Piece::Pid,
        "uuid" => Piece::Uuid,
        "hash" => Piece::Hash,
        _ => {
            let width = field.strip_prefix("seq:").ok_or_else(|| {
                format!(
                    "unknown field {{{}}}: there are {{seq}}, {{seq:WIDTH}}, {{host}}, {{pid}}, \
                     {{uuid}} and {{hash}}; write {{{{ for a brace",
                    field.escape_debug()
                )
            })?;
            let digits = without_digits(width).is_empty();
            let width = width.parse().ok().filter(|width| (1..=20).contains(width));
            Piece::Seq {
                width: width.filter(|_| digits).ok_or_else(|| {
                    let field = field.escape_debug();
                    format!("{{{field}}} is not valid: the width must be 1 to 20")
                })?,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::refusal;

    #[test]
    fn what_is_wrong_is_named() {
        for (text, reason) in [
            ("a-%+", r#""%+" is not a time field"#),
            ("a-%J-%Y", r#""%J" is not a time field"#),
            ("a-%", r#""%" is not a time field"#),
            ("a-%{seq}", r#""%{" is not a time field"#),
            ("a-%-", r#""%-" is not a time field"#),
            ("a-%ü", r#""%ü" is not a time field"#),
            ("a-%00f", r#""%00f" is not a time field"#),
            ("{sequence}", "unknown field {sequence}"),
            ("{SEQ}", "unknown field {SEQ}"),
            ("{}", "unknown field {}"),
            ("{ seq }", "unknown field { seq }"),
            ("{host:3}", "unknown field {host:3}"),
            ("{seq:0}", "{seq:0} is not valid: the width must be 1 to 20"),
            ("{seq:21}", "the width must be 1 to 20"),
            ("{seq:}", "the width must be 1 to 20"),
            ("{seq:+6}", "the width must be 1 to 20"),
            ("{seq:99999999999999999999999}", "the width must be 1 to 20"),
            ("{seq}{seq:3}", "{seq} occurs twice"),
            ("{seq", "a { has no } after it"),
            ("seq}", "a } has no { before it"),
            ("{{seq}", "a } has no { before it"),
            ("", "object key is empty"),
            ("/{seq}", "begins with a slash"),
            ("\\{seq}", "begins with a slash"),
            ("a\n{seq}", "has a control character"),
            ("a%n{seq}", "has a control character"),
            ("..", "cannot be addressed over HTTP"),
            // Empty on the whole second.
            ("%.f", "object key is empty"),
            ("%.f/a", "begins with a slash"),
        ] {
            let refusal = refusal(text);
            assert!(
                refusal.contains(&format!("key template {text:?}: ")),
                "{refusal}"
            );
            assert!(refusal.contains(reason), "{text:?}: {refusal}");
        }
    }
}
