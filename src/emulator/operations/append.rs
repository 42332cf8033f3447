//! AppendObject and SealAppendObject.

use http::StatusCode;
use http::request::Parts;

use super::{Arguments, Call, bucket, check_mutable, no_conditions};
use crate::emulator::account::BucketRules;
use crate::emulator::answer::Answer;
use crate::emulator::body::Received;
use crate::emulator::clock;
use crate::emulator::object::{Attributes, KEY_ID, Kind, Properties, invalid_key_id};
use crate::emulator::refusal::Refusal;
use crate::emulator::shared::Shared;
use crate::emulator::storage::Slot;
use crate::emulator::target::{Query, Target};

pub(super) fn arguments(
    target: &Target,
    query: &Query,
    parts: &Parts,
) -> Result<Arguments, Refusal> {
    target.checked_key()?;
    if query.has("versionId") {
        return Err(Refusal::invalid_value(
            "versionId",
            query.get("versionId").unwrap_or_default(),
            "An append takes no versionId.",
        )
        .ec("0016-00000504"));
    }
    let position = position(query)?;
    no_conditions(parts)?;
    let attributes = Attributes::from_headers(&parts.headers)?;
    if attributes.encryption.contains_key(KEY_ID) {
        // The page of AppendObject takes no id at all, that of the code none that KMS does not know.
        return Err(invalid_key_id("0005-00000208"));
    }
    if attributes.storage_class.ends_with("ColdArchive") {
        return Err(Refusal::invalid_value(
            "x-oss-storage-class",
            &attributes.storage_class,
            "An appendable object cannot have this storage class.",
        )
        .ec("0016-00000503"));
    }
    Ok(Arguments::Append {
        position,
        attributes,
    })
}

pub(super) fn seal_arguments(target: &Target, query: &Query) -> Result<Arguments, Refusal> {
    target.checked_key()?;
    Ok(Arguments::Seal {
        position: position(query)?,
    })
}

fn position(query: &Query) -> Result<u64, Refusal> {
    let Some(text) = query.get_once("position")? else {
        return Err(
            Refusal::bad_request("MissingArgument", "Missing Some Required Arguments.")
                .ec("0016-00000501")
                .element("ArgumentName", "position"),
        );
    };
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        Refusal::invalid_value("position", text, "The position must be an integer from 0.")
            .ec("0016-00000502")
    })
}

pub(super) fn append(shared: &Shared, call: Call, body: Received) -> Result<Answer, Refusal> {
    let bucket = call.bucket(shared)?;
    let key = call.key().to_owned();
    let Arguments::Append {
        position,
        attributes,
    } = call.arguments
    else {
        return Err(Refusal::internal("an append without arguments"));
    };
    let rules = bucket.rules();
    if rules.object_worm {
        return Err(Refusal::bad_request(
            "OperationNotSupported",
            "A bucket with object-level retention (ObjectWorm) takes no appends.",
        ));
    }
    let object = shared.storage.with_slot(&bucket, &key, |slot| {
        let length = check_appendable(slot)?;
        if position != length {
            return Err(Refusal::position_mismatch(length));
        }
        grow(shared, slot, body, attributes, rules)
    })?;
    Ok(Answer::empty(StatusCode::OK)
        .identity(&object)
        .header("x-oss-next-append-position", object.length))
}

/// Appends at the object's end, wherever that is, for a foreign writer.
pub(in crate::emulator) fn anywhere(
    shared: &Shared,
    bucket_name: &str,
    key: &str,
    body: Received,
) -> Result<Properties, Refusal> {
    let bucket = bucket(shared, bucket_name)?;
    shared.storage.with_slot(&bucket, key, |slot| {
        check_appendable(slot)?;
        grow(shared, slot, body, Attributes::plain(), bucket.rules())
    })
}

/// The length of the object, if it can be appended to. The type counts before the position.
fn check_appendable(slot: &Slot<'_>) -> Result<u64, Refusal> {
    check_mutable(slot)?;
    match slot.properties() {
        None => Ok(0),
        Some(object) if object.kind != Kind::Appendable => Err(Refusal::not_appendable()),
        Some(object) if object.sealed.is_some() => Err(Refusal::bad_request(
            "AppendSealedObjectNotAllowed",
            "The object is sealed and takes no more appends.",
        )),
        Some(object) => Ok(object.length),
    }
}

pub(super) fn too_large(shared: &Shared) -> Refusal {
    Refusal::invalid_argument(format!(
        "The object would be larger than the {} bytes that are allowed.",
        shared.max_object_size
    ))
}

/// Puts the body at the object's end. `attributes` and `rules` count only for a new object.
fn grow(
    shared: &Shared,
    slot: &mut Slot<'_>,
    body: Received,
    attributes: Attributes,
    rules: BucketRules,
) -> Result<Properties, Refusal> {
    let existing = slot.properties().cloned();
    let length = existing.as_ref().map_or(0, |object| object.length);
    if length.saturating_add(body.length) > shared.max_object_size {
        return Err(too_large(shared));
    }
    let now = shared.clock.now();
    let mut object = match existing {
        // Appending nothing leaves the object's state as it is.
        Some(object) if body.length == 0 => return Ok(object),
        Some(object) => object,
        None => Properties {
            retained: rules.retention,
            ..Properties::empty(attributes.in_bucket(rules), now)
        },
    };
    object.grow(body.length, body.crc64, now);
    slot.append(body, object.clone())?;
    Ok(object)
}

pub(super) fn seal(shared: &Shared, call: &Call) -> Result<Answer, Refusal> {
    let bucket = call.bucket(shared)?;
    if !shared.traits.sealing {
        return Err(Refusal::bad_request(
            "OperationNotSupported",
            "SealAppendable is not supported. OSS grants it if a ticket asks for it, the emulator \
             with EmulatorBuilder::sealing(true) or oss-append emulator --sealing.",
        )
        .ec("0016-00000513"));
    }
    let position = call.arguments.position().unwrap_or_default();
    shared.storage.with_slot(&bucket, call.key(), |slot| {
        let Some(object) = slot.properties() else {
            return Err(Refusal::no_such_key(call.key()));
        };
        check_mutable(slot)?;
        if object.kind != Kind::Appendable {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                "AppendSealedObjectNotAllowed",
                "The object is not an appendable one.",
            ));
        }
        if position != object.length {
            return Err(Refusal::position_mismatch(object.length));
        }
        let mut object = object.clone();
        let sealed = match object.sealed {
            Some(sealed) => sealed,
            None => {
                let now = shared.clock.now();
                object.sealed = Some(now);
                slot.set_properties(object)?;
                now
            }
        };
        Ok(Answer::empty(StatusCode::OK).header("x-oss-sealed-time", clock::http_date(sealed)))
    })
}
