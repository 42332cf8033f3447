//! Records of a shared object: lines, each written in one piece.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::append::request_failed;
use crate::failure::Failure;
use crate::input::{self, Input, Stop};
use crate::writer::Writer;

const READ_BUFFER: usize = 256 * 1024;

/// Writes `input` line by line, and returns when everything that was written is durable, also
/// after a failure of the input. A line that a stop cuts is not written.
pub(crate) async fn copy(
    writer: &mut Writer,
    input: &mut Input,
    max_record: u64,
) -> Result<(), Failure> {
    let stop = input.stop();
    let mut reader = BufReader::with_capacity(READ_BUFFER, input);
    let ended = match write_lines(writer, &mut reader, &stop, max_record).await {
        Ok(()) => Ok(()),
        Err(Fault::Input(failure)) => Err(failure),
        Err(Fault::Writer(failure)) => return Err(failure),
    };
    let synced = writer.sync().await;
    synced.map_err(|error| request_failed(&error))?;
    ended
}

enum Fault {
    Input(Failure),
    Writer(Failure),
}

async fn write_lines(
    writer: &mut Writer,
    reader: &mut (impl AsyncBufRead + Unpin),
    stop: &Stop,
    max_record: u64,
) -> Result<(), Fault> {
    let mut record = Vec::new();
    for line in 1_u64.. {
        record.clear();
        let length = read_line(reader, &mut record, max_record)
            .await
            .map_err(unreadable)?;
        if record.is_empty() || (stop.has_cut() && !record.ends_with(b"\n")) {
            break;
        }
        if length > max_record {
            return Err(Fault::Input(Failure::usage(format!(
                "line {line} of the input has {length} bytes: more than the {max_record} of \
                 --max-append-size could be torn in a shared object, so nothing of it was written"
            ))));
        }
        // In a shared object a write is accepted whole or not at all.
        let written = writer.write_all(&record).await;
        written.map_err(|error| Fault::Writer(request_failed(&error)))?;
    }
    Ok(())
}

/// Reads a line, and tells its length; `line` gets not many more bytes of it than `limit`.
async fn read_line(
    reader: &mut (impl AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
    limit: u64,
) -> io::Result<u64> {
    let mut limited = (&mut *reader).take(limit.saturating_add(1));
    limited.read_until(b'\n', line).await?;
    let mut length = line.len() as u64;
    let mut whole = length <= limit || line.ends_with(b"\n");
    while !whole {
        let available = reader.fill_buf().await?;
        let end = available.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(available.len(), |end| end + 1);
        whole = end.is_some() || available.is_empty();
        reader.consume(used);
        length += used as u64;
    }
    Ok(length)
}

fn unreadable(error: io::Error) -> Fault {
    Fault::Input(input::unreadable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_long_line_is_measured_and_not_kept() {
        for (input, lengths) in [
            (&b"abcd\nabc\nab"[..], &[5, 4, 2][..]),
            (b"abcdefgh\nx\n", &[9, 2]),
            (b"abcde", &[5]),
            (b"\n\n", &[1, 1]),
        ] {
            let mut reader = BufReader::with_capacity(3, input);
            for length in lengths {
                let mut line = Vec::new();
                assert_eq!(read_line(&mut reader, &mut line, 4).await.unwrap(), *length);
                assert_eq!(line.len() as u64, (*length).min(5));
            }
            assert!(reader.fill_buf().await.unwrap().is_empty());
        }
    }
}
