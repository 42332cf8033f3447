//! Exactly once: one partition of the stream in one object, which tells by itself how far it is.

use async_nats::jetstream::stream::Stream;
use futures::StreamExt;
use oss_append::{Error, ErrorKind, ObjectPath, OssAppendWriter, OssClient};
use tokio_util::sync::CancellationToken;

use crate::failure::Failure;
use crate::note;
use crate::object_end;
use crate::options::{Options, Partition};
use crate::ordered::Ordered;
use crate::patience::Patience;
use crate::record::{self, Origin};

pub(crate) async fn run(
    options: &Options,
    recipe: &Partition,
    client: OssClient,
    stream: Stream,
    stop: &CancellationToken,
) -> Result<String, Failure> {
    let object = ObjectPath::new(&options.oss.bucket, &recipe.object).map_err(Error::from)?;
    let end = object_end::find(&client, &object).await?;
    if let Some(newest) = &end.newest {
        check_origin(newest, recipe, &stream, &object).await?;
    }
    let last = end.newest.map_or(0, |newest| newest.seq);
    note(&format!(
        "{object} goes on at position {}, behind message {last}",
        end.checkpoint.position
    ));

    let mut writer = OssAppendWriter::builder(client, object)
        .replay(end.checkpoint)
        .batch_size(options.oss.batch_size)
        .max_append_size(options.oss.batch_size)
        .linger(options.oss.linger)
        .delivery_timeout(options.oss.oss_timeout)
        .open()
        .await?;
    let patience = Patience::new(options.nats.nats_timeout);
    let mut messages = Ordered::after(last, stream, &recipe.subject, patience);
    let mut durable = writer.durable();
    let mut written: u64 = 0;
    let moving = async {
        loop {
            let (sequence, message) = messages.next().await?;
            let line = record::line(sequence, &message)
                .map_err(|error| Failure::nats("message", error))?;
            writer.write_bytes(line).await?;
            written += 1;
        }
    };
    // So that a failure is noticed also when no message comes.
    let failing = async {
        while let Some(position) = durable.next().await {
            position?;
        }
        std::future::pending().await
    };
    tokio::select! {
        failure = moving => return failure,
        failure = failing => return failure,
        // A message that is not written yet is given up: the stream has it.
        () = stop.cancelled() => {}
    }
    writer.sync().await?;
    end_replay(writer.shutdown().await)?;
    Ok(format!("ended: {written} messages durable"))
}

/// Whether the object may be one of this partition.
async fn check_origin(
    newest: &Origin,
    recipe: &Partition,
    stream: &Stream,
    object: &ObjectPath,
) -> Result<(), Failure> {
    let one_subject = !recipe.subject.contains(['*', '>']);
    if one_subject && newest.subject != recipe.subject {
        return Err(Failure::object(format!(
            "{object} is of the partition {}, not {}",
            newest.subject, recipe.subject
        )));
    }
    // Asked for after the look at the object, which another worker may have continued by then.
    let info = stream.get_info().await;
    let state = info
        .map_err(|error| Failure::nats("the stream", error))?
        .state;
    if newest.seq > state.last_sequence {
        return Err(Failure::object(format!(
            "{object} ends with message {}, but the stream has come to {} only: it is another one",
            newest.seq, state.last_sequence
        )));
    }
    if newest.seq + 1 < state.first_sequence {
        note(&format!(
            "the stream has forgotten what came before message {}: what {object} does not have of \
             it is gone",
            state.first_sequence
        ));
    }
    Ok(())
}

/// At a stop soon after the start the object may have more than was read again: the first half of a
/// record, for example. What was accepted is proven to be in it, and the next start looks again.
fn end_replay(shutdown: oss_append::Result<()>) -> Result<(), Failure> {
    let error = match shutdown {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::ReplayTooShort { given, object, .. } => {
            note(&format!(
                "the object was read again up to {given} of {object} bytes; the next start goes on"
            ));
            Ok(())
        }
        _ => Err(error.into()),
    }
}
