//! What a lost answer costs with the usual remedy and with this crate: two short scenes on an embedded
//! OSS server, in which the same failures hit both.
//!
//! ```text
//! cargo run --example lost_answer
//! ```
//!
//! It checks what it prints, and ends with an error if something else happens.

use std::error::Error;
use std::time::Duration;

use oss_append::emulator::{Action, Emulator, Fault, Operation};
use oss_append::{Backoff, Landed, ObjectPath, OssAppendWriter, OssClient};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const BUCKET: &str = "logs";
const OLD: &str = "09:00 start\n";
const DOOR: &str = "09:01 door opened\n";
const LAMP: &str = "09:02 lamp broken\n";
/// By somebody else, and exactly as long as ours.
const THEIRS: &str = "09:01 fan stopped\n";

#[tokio::main]
async fn main() -> Result<()> {
    let stage = Stage {
        emulator: Emulator::builder().bucket(BUCKET).start().await?,
    };
    println!(
        "An append got no answer. Is it in the object? The usual remedy sends it again. If the"
    );
    println!(
        "position no longer fits, it takes the expected LENGTH as proof that the bytes are ours."
    );

    println!("\n1. Our append is lost, and somebody else appends just as many bytes.\n");
    stage.usual_and_a_foreign_append().await?;
    stage.ours_and_a_foreign_append().await?;

    println!(
        "\n2. Our append gets no answer three times, although the third attempt was applied. The"
    );
    println!("   next record happens to be just as long.\n");
    stage.usual_and_the_next_record().await?;
    stage.ours_and_the_next_record().await?;

    stage.emulator.shutdown().await;
    Ok(())
}

struct Stage {
    emulator: Emulator,
}

impl Stage {
    async fn usual_and_a_foreign_append(&self) -> Result<()> {
        let (client, object) = self.prepare("usual-1", foreign_append())?;
        let mut usual = UsualRemedy::new(client, object.clone());
        let said = usual.write(DOOR).await;
        println!("   usual remedy: {}", report(DOOR, &said));
        self.show(&object);
        check(said.is_ok(), "it reports success")?;
        check(self.text(&object) == [OLD, THEIRS].concat(), "ours is lost")?;
        println!("   -> our record is LOST, and success was reported\n");
        Ok(())
    }

    async fn ours_and_a_foreign_append(&self) -> Result<()> {
        let (client, object) = self.prepare("ours-1", foreign_append())?;
        let mut writer = open(&client, &object).await?;
        writer.write_all(DOOR.as_bytes()).await?;
        let said = writer.sync().await;
        println!("   OssAppendWriter: {}", report(DOOR, &said));
        let landed = said.err().and_then(|error| error.landed());
        check(landed == Some(Landed::No), "it says that ours is missing")?;

        let unsent = writer.into_unsent().map_err(|_| "the writer works")?;
        println!("   it gives back {} bytes, for a new writer", unsent.len());
        let mut writer = open(&client, &object).await?;
        for chunk in unsent.chunks {
            writer.write_bytes(chunk).await?;
        }
        writer.shutdown().await?;
        self.show(&object);
        check(
            self.text(&object) == [OLD, THEIRS, DOOR].concat(),
            "all are there",
        )?;
        println!("   -> the truth was told, and nothing is lost");
        Ok(())
    }

    async fn usual_and_the_next_record(&self) -> Result<()> {
        let (client, object) = self.prepare("usual-2", three_lost_answers())?;
        let mut usual = UsualRemedy::new(client, object.clone());
        let first = usual.write(DOOR).await;
        println!("   usual remedy: {}", report(DOOR, &first));
        let next = usual.write(LAMP).await;
        println!("   usual remedy: {}", report(LAMP, &next));
        self.show(&object);
        check(first.is_err() && next.is_ok(), "both reports are wrong")?;
        check(
            self.text(&object) == [OLD, DOOR].concat(),
            "the next is lost",
        )?;
        println!("   -> both reports are wrong, and the second record is LOST\n");
        Ok(())
    }

    async fn ours_and_the_next_record(&self) -> Result<()> {
        let (client, object) = self.prepare("ours-2", three_lost_answers())?;
        let mut writer = open(&client, &object).await?;
        for record in [DOOR, LAMP] {
            writer.write_all(record.as_bytes()).await?;
            let said = writer.sync().await;
            println!("   OssAppendWriter: {}", report(record, &said));
            said?;
        }
        writer.shutdown().await?;
        self.show(&object);
        check(
            self.text(&object) == [OLD, DOOR, LAMP].concat(),
            "both are there",
        )?;
        println!("   -> both are in the object, once each, and success was reported");
        Ok(())
    }

    /// An object that holds one record, and the trouble to come.
    fn prepare(&self, key: &str, trouble: Vec<Action>) -> Result<(OssClient, ObjectPath)> {
        self.emulator.append_foreign(BUCKET, key, OLD)?;
        self.emulator.faults().clear();
        for action in trouble {
            let fault = Fault::new(Operation::AppendObject, action);
            self.emulator.inject(fault.key(key));
        }
        Ok((
            self.emulator.client().build()?,
            ObjectPath::new(BUCKET, key)?,
        ))
    }

    fn text(&self, object: &ObjectPath) -> String {
        let stored = self.emulator.object(BUCKET, object.key());
        let bytes = stored.map(|object| object.bytes).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn show(&self, object: &ObjectPath) {
        let text = self.text(object);
        let records: Vec<&str> = text.lines().collect();
        println!("     in the object: {}", records.join(" | "));
    }
}

/// The first attempt is lost, and before the second somebody else appends.
fn foreign_append() -> Vec<Action> {
    vec![Action::Drop, Action::ForeignBefore(THEIRS.into())]
}

/// Two attempts are lost; the third is applied, and its answer is lost.
fn three_lost_answers() -> Vec<Action> {
    vec![Action::Drop, Action::Drop, Action::DropAnswer]
}

async fn open(client: &OssClient, object: &ObjectPath) -> oss_append::Result<OssAppendWriter> {
    OssAppendWriter::builder(client.clone(), object.clone())
        .backoff(Backoff::new(
            Duration::from_millis(1),
            Duration::from_millis(10),
        ))
        .open()
        .await
}

/// Three attempts, and after a mismatch a look at the length.
struct UsualRemedy {
    client: OssClient,
    object: ObjectPath,
    position: u64,
}

impl UsualRemedy {
    fn new(client: OssClient, object: ObjectPath) -> Self {
        let position = OLD.len() as u64;
        Self {
            client,
            object,
            position,
        }
    }

    async fn write(&mut self, record: &'static str) -> oss_append::Result<()> {
        let end = self.position + record.len() as u64;
        let mut attempts = 1..=3;
        loop {
            attempts.next();
            let request = self.client.append_object(&self.object, record);
            let Err(error) = request.position(self.position).send().await else {
                break;
            };
            match error.service_error() {
                Some(answer) if answer.code == "PositionNotEqualToLength" => {
                    let seen = self.client.head_object(&self.object).send().await?;
                    if seen.length != end {
                        return Err(error);
                    }
                    // As long as it should be, so it must be ours?
                    break;
                }
                Some(_) => return Err(error),
                None if attempts.is_empty() => return Err(error),
                None => {}
            }
        }
        self.position = end;
        Ok(())
    }
}

fn report(record: &str, said: &oss_append::Result<()>) -> String {
    let record = record.trim_end();
    match said {
        Ok(()) => format!("\"{record}\" reported as stored"),
        Err(error) => format!("\"{record}\" reported as FAILED:\n     {error}"),
    }
}

/// Fails if what is claimed did not happen.
fn check(happened: bool, claim: &str) -> Result<()> {
    match happened {
        true => Ok(()),
        false => Err(format!("did not happen: {claim}").into()),
    }
}
