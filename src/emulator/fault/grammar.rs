//! The textual form of a fault, for the command line.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::{Action, ErrorAnswer, Fault, Late, Rest};
use crate::emulator::operation::Operation;
use crate::error::Error;

impl Fault {
    /// The textual form of a fault, as `oss-append emulator --help` shows it.
    pub const GRAMMAR: &'static str = "\
A fault is OPERATION:ACTION[=VALUE][,SETTING=VALUE]...

OPERATION is one of append, seal, head, meta, get, put, delete, initiate-upload, upload-part,
copy-part, complete-upload, abort-upload, list-parts, list-uploads, delete-multiple, list, list-v2,
put-bucket, delete-bucket, bucket-info, list-buckets, or any.

ACTION is one of
  drop                   receive the request, close the connection, apply nothing
  drop-answer            apply, then close the connection
  apply-late=DURATION    close the connection, apply after DURATION
  error=STATUS[/CODE]    answer with this error, apply nothing
  error-after=STATUS[/CODE]
                         apply, then answer with this error
  foreign-before=TEXT    append TEXT to the object just before applying
  foreign-after=TEXT     append TEXT to the object just after applying
  retain                 put the object, if it is there, under retention, then apply
  wrong-crc, no-crc      apply; the answer's CRC-64 is wrong, or missing
  wrong-position, no-position
                         apply; the answer's next position is wrong, or missing
  torn=BYTES             apply only the first BYTES of the body, close the connection
  reset-body=BYTES       reset the connection after BYTES of the body, apply nothing
  stall, stall-answer    never answer; apply nothing, or apply
  truncate=BYTES         apply, close the connection after BYTES of the answer
  bad-gateway, bad-gateway-after
                         answer 502 with an HTML page; apply nothing, or apply
  redirect=URL           answer 307 with this Location, apply nothing
  delay=DURATION         wait before applying
  gateway-timeout=DURATION
                         answer 504 with an HTML page at once, apply after DURATION
  close, close=drop      apply, answer with Connection: close; drop the requests behind
  close=apply            the same; apply the requests behind, never answer them
  close=answer           the same; apply and answer the requests behind that have come
  refuse-early=STATUS[/CODE]
                         answer with this error before the body is read, apply nothing, close
                         the connection without announcing it
  request-timeout        answer 408 ahead of the answers that are owed, apply nothing, close the
                         connection

SETTING is one of
  key=KEY                only requests for this key count
  skip=N                 let the first N go through (0)
  times=N, times=forever how often to strike (1, or forever with probability)
  probability=P          strike each with this probability, 0 to 1
  seed=N                 of the random numbers for probability (0)
  code=CODE              of error, error-after and refuse-early
  retry-after=DURATION   of the same: the Retry-After header
  qos-delay=DURATION     of the same: the x-oss-qos-delay-time header

DURATION is like 200ms or 2s. In KEY, TEXT and URL a comma is written %2C, and % as %25.

Example: append:drop-answer,skip=3,times=2";
}

/// Reads [`GRAMMAR`](Fault::GRAMMAR).
impl FromStr for Fault {
    type Err = Error;

    fn from_str(spec: &str) -> Result<Self, Error> {
        parse(spec).map_err(|problem| {
            Error::invalid_input(format!("fault {spec:?} is not valid: {problem}"))
        })
    }
}

impl Action {
    /// The name in the grammar, such as `drop-answer`.
    pub(in crate::emulator) fn name(&self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::DropAnswer => "drop-answer",
            Self::ApplyLate(_) => "apply-late",
            Self::Hold => "hold",
            Self::HoldAnswer => "hold-answer",
            Self::Error(_) => "error",
            Self::ErrorAfter(_) => "error-after",
            Self::ForeignBefore(_) => "foreign-before",
            Self::ForeignAfter(_) => "foreign-after",
            Self::Retain => "retain",
            Self::WrongCrc => "wrong-crc",
            Self::NoCrc => "no-crc",
            Self::WrongPosition => "wrong-position",
            Self::NoPosition => "no-position",
            Self::Torn(_) => "torn",
            Self::ResetBody(_) => "reset-body",
            Self::Stall => "stall",
            Self::StallAnswer => "stall-answer",
            Self::Truncate(_) => "truncate",
            Self::BadGateway => "bad-gateway",
            Self::BadGatewayAfter => "bad-gateway-after",
            Self::Redirect(_) => "redirect",
            Self::Delay(_) => "delay",
            Self::GatewayTimeout(_) => "gateway-timeout",
            Self::Close(_) => "close",
            Self::RefuseEarly(_) => "refuse-early",
            Self::RequestTimeout => "request-timeout",
        }
    }
}

fn parse(spec: &str) -> Result<Fault, String> {
    let (operation, rest) = spec
        .split_once(':')
        .ok_or("it is not of the form OPERATION:ACTION")?;
    let operation = match operation {
        "any" => None,
        name => Some(Operation::from_short_name(name).ok_or_else(|| {
            let names: Vec<_> = Operation::short_names().collect();
            format!("{name:?} is no operation; use any, {}", names.join(", "))
        })?),
    };
    let mut parts = rest.split(',');
    let (name, value) = split(parts.next().unwrap_or_default());
    let mut fault = Fault::on_any(action(name, value)?);
    fault.operation = operation;

    let (mut times, mut probability, mut seed) = (None, None, None);
    let mut seen = Vec::new();
    for part in parts {
        let (name, value) = split(part);
        if seen.contains(&name) {
            return Err(format!("the setting {name} is given twice"));
        }
        seen.push(name);
        let value = value.ok_or_else(|| format!("the setting {name:?} has no value"))?;
        match name {
            "key" => fault.key = Some(text(value)?),
            "skip" => fault.skip = number(name, value)?,
            "times" if value == "forever" => times = Some(None),
            "times" => times = Some(Some(number(name, value)?)),
            "probability" => {
                let given: f64 = number(name, value)?;
                if !(0.0..=1.0).contains(&given) {
                    return Err(format!("probability {value} is not within 0 and 1"));
                }
                probability = Some(given);
            }
            "seed" => seed = Some(number(name, value)?),
            "code" => error(&mut fault.action, name)?.code = text(value)?,
            "retry-after" => error(&mut fault.action, name)?.retry_after = Some(duration(value)?),
            "qos-delay" => error(&mut fault.action, name)?.qos_delay = Some(duration(value)?),
            _ => {
                return Err(format!(
                    "{name:?} is no setting; use key, skip, times, probability, seed, code, \
                     retry-after or qos-delay"
                ));
            }
        }
    }
    match probability {
        Some(probability) => fault = fault.probability(probability, seed.unwrap_or(0)),
        None if seed.is_some() => return Err("seed needs probability".into()),
        None => {}
    }
    if let Some(times) = times {
        fault.times = times;
    }
    Ok(fault)
}

fn split(part: &str) -> (&str, Option<&str>) {
    match part.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (part, None),
    }
}

fn action(name: &str, value: Option<&str>) -> Result<Action, String> {
    let needed = || value.ok_or_else(|| format!("the action {name} needs a value"));
    let bytes = || number(name, needed()?);
    let action = match name {
        "apply-late" => Action::ApplyLate(Late::After(duration(needed()?)?)),
        "error" => Action::Error(error_answer(needed()?)?),
        "error-after" => Action::ErrorAfter(error_answer(needed()?)?),
        "foreign-before" => Action::ForeignBefore(text(needed()?)?.into()),
        "foreign-after" => Action::ForeignAfter(text(needed()?)?.into()),
        "torn" => Action::Torn(bytes()?),
        "reset-body" => Action::ResetBody(bytes()?),
        "truncate" => Action::Truncate(bytes()?),
        "redirect" => Action::Redirect(text(needed()?)?),
        "delay" => Action::Delay(duration(needed()?)?),
        "gateway-timeout" => Action::GatewayTimeout(Late::After(duration(needed()?)?)),
        "close" => Action::Close(value.map_or(Ok(Rest::Drop), rest)?),
        "refuse-early" => Action::RefuseEarly(error_answer(needed()?)?),
        _ => {
            let action = match name {
                "drop" => Action::Drop,
                "drop-answer" => Action::DropAnswer,
                "retain" => Action::Retain,
                "wrong-crc" => Action::WrongCrc,
                "no-crc" => Action::NoCrc,
                "wrong-position" => Action::WrongPosition,
                "no-position" => Action::NoPosition,
                "stall" => Action::Stall,
                "stall-answer" => Action::StallAnswer,
                "bad-gateway" => Action::BadGateway,
                "bad-gateway-after" => Action::BadGatewayAfter,
                "request-timeout" => Action::RequestTimeout,
                _ => return Err(format!("{name:?} is no action")),
            };
            if value.is_some() {
                return Err(format!("the action {name} takes no value"));
            }
            action
        }
    };
    Ok(action)
}

fn rest(value: &str) -> Result<Rest, String> {
    match value {
        "drop" => Ok(Rest::Drop),
        "apply" => Ok(Rest::Apply),
        "answer" => Ok(Rest::Answer),
        _ => Err(format!("close={value} is none; use drop, apply or answer")),
    }
}

fn error_answer(value: &str) -> Result<ErrorAnswer, String> {
    let (status, code) = match value.split_once('/') {
        Some((status, code)) => (status, Some(code)),
        None => (value, None),
    };
    let status: u16 = number("status", status)?;
    if !(300..600).contains(&status) {
        return Err(format!("status {status} is not within 300 and 599"));
    }
    let answer = ErrorAnswer::new(status);
    Ok(match code {
        Some(code) => answer.code(text(code)?),
        None => answer,
    })
}

fn error<'a>(action: &'a mut Action, setting: &str) -> Result<&'a mut ErrorAnswer, String> {
    match action {
        Action::Error(answer) | Action::ErrorAfter(answer) | Action::RefuseEarly(answer) => {
            Ok(answer)
        }
        _ => Err(format!(
            "the setting {setting} belongs to error, error-after and refuse-early"
        )),
    }
}

fn number<T: FromStr<Err: Display>>(name: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|error| format!("{name} {value:?}: {error}"))
}

fn duration(value: &str) -> Result<Duration, String> {
    humantime::parse_duration(value).map_err(|error| format!("duration {value:?}: {error}"))
}

fn text(value: &str) -> Result<String, String> {
    percent_decode_str(value)
        .decode_utf8()
        .map(|text| text.into_owned())
        .map_err(|_| format!("{value:?} is no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_is_read() {
        let append = |action| Fault::new(Operation::AppendObject, action);
        let unavailable = ErrorAnswer::new(503).code("X");
        for (spec, fault) in [
            ("append:drop", append(Action::Drop)),
            (
                "append:drop-answer,times=2,skip=3",
                append(Action::DropAnswer).skip(3).times(2),
            ),
            (
                "any:apply-late=20ms,times=forever",
                Fault::on_any(Action::ApplyLate(Late::After(Duration::from_millis(20)))).forever(),
            ),
            (
                "head:error=503/X,key=a%2Cb%25,retry-after=2s",
                Fault::new(
                    Operation::HeadObject,
                    Action::Error(unavailable.retry_after(Duration::from_secs(2))),
                )
                .key("a,b%"),
            ),
            (
                "append:error-after=500",
                append(Action::ErrorAfter(ErrorAnswer::new(500))),
            ),
            (
                "append:foreign-before=other%0A",
                append(Action::ForeignBefore("other\n".into())),
            ),
            (
                "append:retain,times=forever",
                append(Action::Retain).forever(),
            ),
            (
                "append:stall,probability=0.25,seed=9,times=4",
                append(Action::Stall).probability(0.25, 9).times(4),
            ),
            (
                "append:gateway-timeout=1s",
                append(Action::GatewayTimeout(Late::After(Duration::from_secs(1)))),
            ),
            ("append:close", append(Action::Close(Rest::Drop))),
            ("append:close=drop", append(Action::Close(Rest::Drop))),
            ("append:close=apply", append(Action::Close(Rest::Apply))),
            ("append:close=answer", append(Action::Close(Rest::Answer))),
            (
                "append:refuse-early=409,code=X",
                append(Action::RefuseEarly(ErrorAnswer::new(409).code("X"))),
            ),
            ("append:request-timeout", append(Action::RequestTimeout)),
        ] {
            assert_eq!(spec.parse::<Fault>().unwrap(), fault, "{spec}");
        }
    }

    #[test]
    fn an_error_says_what_would_be_right() {
        for (spec, hint) in [
            ("append", "OPERATION:ACTION"),
            ("apend:drop", "use any, append"),
            ("append:dorp", "no action"),
            ("append:drop=1", "takes no value"),
            ("append:torn", "needs a value"),
            ("append:torn=x", "torn \"x\""),
            ("append:error=200", "300 and 599"),
            ("append:drop,code=X", "belongs to error"),
            ("append:drop,time=1", "no setting"),
            ("append:drop,times", "has no value"),
            ("append:drop,skip=1,skip=2", "twice"),
            ("append:drop,probability=2", "0 and 1"),
            ("append:drop,seed=2", "needs probability"),
            ("append:delay=fast", "duration"),
            ("append:gateway-timeout", "needs a value"),
            ("append:close=all", "drop, apply or answer"),
            ("append:refuse-early", "needs a value"),
            ("append:refuse-early=200", "300 and 599"),
            ("append:request-timeout=1s", "takes no value"),
        ] {
            let error = spec.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(hint), "{error}");
        }
    }

    #[test]
    fn the_help_names_every_operation() {
        for name in Operation::short_names() {
            assert!(Fault::GRAMMAR.contains(name), "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_whatever_panics(
            any: String,
            pieces in prop::collection::vec(prop::sample::select(vec![
                "append", "any", ":", "drop", "error", "delay", "torn", "redirect", "=", "503", "/X",
                ",", "key", "times", "forever", "probability", "NaN", "-0", "inf", "1e-400", "seed",
                "retry-after", "18446744073709551615s", "18446744073709551616", "%ff", "%", "%00",
                "999999999999y", "1ns", " ", "日", "close", "answer", "refuse-early",
            ]), 0..12),
        ) {
            for spec in [any.clone(), pieces.concat(), format!("append:{any}"), format!("any:drop,{any}")] {
                let _ = spec.parse::<Fault>();
            }
        }
    }
}
