//! What `append` says on standard error while nothing is delivered, and `cat` and its like while nothing is read: a
//! line when that begins, one each minute while it lasts, and one when it is over.

use std::time::Duration;

use indicatif::HumanBytes;
use oss_append::{DeliveryEvent, Error, ObjectPath};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::failure;

/// How often it says that it goes on.
const INTERVAL: Duration = Duration::from_secs(60);

/// How long a name that is not known is asked for before anything has come through.
pub(crate) const UNKNOWN_HOST: Duration = Duration::from_secs(3);

/// What the writer or the reader has reported.
pub(crate) struct Trouble {
    told: mpsc::UnboundedReceiver<DeliveryEvent>,
    lasts: Option<Lasts>,
    words: Words,
}

/// How it is said.
#[derive(Clone, Copy)]
struct Words {
    /// What goes on when it is over.
    goes_on: &'static str,
    /// What is not done to anything while it lasts.
    done: &'static str,
    /// Where what is not durable is.
    place: Option<&'static str>,
}

/// Nothing is delivered, or read.
struct Lasts {
    words: Words,
    /// The last failure.
    object: ObjectPath,
    error: Error,
    failures: u64,
    gives_up: Option<Instant>,
    since: Instant,
    /// When to say so again.
    due: Instant,
}

/// Something to be said.
pub(crate) enum Said {
    Line(String),
    /// The name of the server is not known.
    Nowhere(Error),
}

impl Trouble {
    /// With what the writer, which may have a spool, is to call for each event.
    pub(crate) fn new(has_spool: bool) -> (Self, impl Fn(DeliveryEvent) + Send + Sync + 'static) {
        Self::with(Words {
            goes_on: "delivery",
            done: "delivered",
            place: Some(match has_spool {
                true => "in the spool",
                false => "buffered",
            }),
        })
    }

    /// With what the reader is to call for each event.
    pub(crate) fn reading() -> (Self, impl Fn(DeliveryEvent) + Send + Sync + 'static) {
        Self::with(Words {
            goes_on: "reading",
            done: "read",
            place: None,
        })
    }

    /// With what a compaction is to call for each event.
    pub(crate) fn compacting() -> (Self, impl Fn(DeliveryEvent) + Send + Sync + 'static) {
        Self::with(Words {
            goes_on: "compacting",
            done: "done",
            place: None,
        })
    }

    fn with(words: Words) -> (Self, impl Fn(DeliveryEvent) + Send + Sync + 'static) {
        let (sender, told) = mpsc::unbounded_channel();
        let tell = move |event| {
            // Nobody listens any more at the end.
            let _ = sender.send(event);
        };
        let trouble = Self {
            told,
            lasts: None,
            words,
        };
        (trouble, tell)
    }

    /// Waits for the next line. `buffered`: how many bytes wait to become durable. Nothing is missed
    /// if the future is dropped.
    pub(crate) async fn next(&mut self, buffered: impl Fn() -> Option<u64>) -> Said {
        loop {
            let due = self.lasts.as_ref().map(|lasts| lasts.due);
            tokio::select! {
                Some(event) = self.told.recv() => {
                    if let Some(said) = self.take(event, &buffered) {
                        return said;
                    }
                }
                () = until(due) => {
                    if let Some(lasts) = &mut self.lasts {
                        lasts.due += INTERVAL;
                        return Said::Line(lasts.still(buffered()));
                    }
                }
            }
        }
    }

    fn take(&mut self, event: DeliveryEvent, buffered: impl Fn() -> Option<u64>) -> Option<Said> {
        let now = Instant::now();
        match event {
            DeliveryEvent::Failed {
                object,
                error,
                failures,
                failing,
                gives_up_in,
                buffered: waiting,
                ..
            } => {
                let gives_up = gives_up_in.and_then(|time| now.checked_add(time));
                if failing >= UNKNOWN_HOST
                    && gives_up.is_some()
                    && failure::is_unknown_host(&error)
                    && buffered().is_none()
                {
                    return Some(Said::Nowhere(error));
                }
                let begins = self.lasts.is_none();
                let due = self
                    .lasts
                    .as_ref()
                    .map_or(now + INTERVAL, |lasts| lasts.due);
                let lasts = self.lasts.insert(Lasts {
                    words: self.words,
                    object,
                    error,
                    failures,
                    gives_up,
                    since: now.checked_sub(failing).unwrap_or(now),
                    due,
                });
                begins.then(|| Said::Line(lasts.first(waiting.or_else(buffered))))
            }
            DeliveryEvent::Recovered {
                object,
                failures,
                failing,
                ..
            } => self.lasts.take().map(|_| {
                Said::Line(format!(
                    "{object}: {} goes on after {}, {}",
                    self.words.goes_on,
                    seconds(failing),
                    failed(failures),
                ))
            }),
            // The command says why it has failed.
            _ => {
                self.lasts = None;
                None
            }
        }
    }
}

impl Lasts {
    fn first(&self, buffered: Option<u64>) -> String {
        let for_how_long = match self.left() {
            Some(left) => format!("for up to {}", seconds(left)),
            None => "forever".into(),
        };
        format!(
            "{}: {}; trying again {for_how_long}{}",
            self.object,
            failure::describe_cause(&self.error),
            self.waiting(buffered)
        )
    }

    fn still(&self, buffered: Option<u64>) -> String {
        let end = match self.left() {
            Some(left) => format!("; giving up in {}", seconds(left)),
            None => String::new(),
        };
        format!(
            "{}: nothing {} for {}, {}, most recently: {}{end}{}",
            self.object,
            self.words.done,
            seconds(self.since.elapsed()),
            failed(self.failures),
            failure::describe_cause(&self.error),
            self.waiting(buffered)
        )
    }

    fn waiting(&self, bytes: Option<u64>) -> String {
        match bytes.zip(self.words.place) {
            Some((bytes, place)) => format!("; {} {place}", HumanBytes(bytes)),
            None => String::new(),
        }
    }

    fn left(&self) -> Option<Duration> {
        Some(self.gives_up?.saturating_duration_since(Instant::now()))
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

pub(crate) fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds < 9.95 {
        true => format!("{seconds:.1} s"),
        false => format!("{seconds:.0} s"),
    }
}

fn failed(requests: u64) -> String {
    match requests {
        1 => "1 request failed".into(),
        many => format!("{many} requests failed"),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use bytes::Bytes;
    use futures::stream::BoxStream;
    use oss_append::{
        AppendAnswer, AppendRequest, AppendStore, ObjectAppender, ObjectInfo, Result,
        TransportCause,
    };

    use super::*;

    /// A store that cannot be reached, until it is up.
    #[derive(Clone, Default)]
    struct Down(Arc<AtomicBool>);

    impl AppendStore for Down {
        async fn append(&self, _: AppendRequest) -> Result<AppendAnswer> {
            unreachable!("it is only looked at")
        }

        async fn head(&self, _: &ObjectPath) -> Result<Option<ObjectInfo>> {
            match self.0.load(Ordering::Relaxed) {
                true => Ok(None),
                false => Err(Error::transport(TransportCause::Connect, "refused")),
            }
        }

        async fn read_range(
            &self,
            _: &ObjectPath,
            _: Range<u64>,
        ) -> Result<BoxStream<'static, Result<Bytes>>> {
            unreachable!("it is only looked at")
        }

        async fn seal(&self, _: &ObjectPath, _: u64) -> Result<()> {
            unreachable!("it is only looked at")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_said_when_it_begins_and_each_minute_and_when_it_is_over() {
        let (mut trouble, tell) = Trouble::new(false);
        let store = Down::default();
        let object = ObjectPath::new("logs", "a.log").unwrap();
        let builder = ObjectAppender::builder(store.clone(), object).on_event(tell);
        let opened = tokio::spawn(builder.delivery_timeout(10 * INTERVAL).open());
        let begun = Instant::now();
        let mut next = async || match trouble.next(|| Some(2048)).await {
            Said::Line(line) => (begun.elapsed().as_secs(), line),
            Said::Nowhere(error) => panic!("{error}"),
        };
        let (at, line) = next().await;
        let expected = "oss://logs/a.log: refused; trying again for up to 600 s; 2.00 KiB buffered";
        assert_eq!((at, &*line), (0, expected));
        for minute in 1..4 {
            let (at, line) = next().await;
            assert_eq!(at, 60 * minute);
            let begins = format!("oss://logs/a.log: nothing delivered for {at} s, ");
            assert!(line.starts_with(&begins), "{line}");
            assert!(
                line.contains("requests failed, most recently: refused"),
                "{line}"
            );
            assert!(line.ends_with("; 2.00 KiB buffered"), "{line}");
        }
        store.0.store(true, Ordering::Relaxed);
        let (_, line) = next().await;
        assert!(
            line.starts_with("oss://logs/a.log: delivery goes on after "),
            "{line}"
        );
        opened.await.unwrap().unwrap();
        let silent = tokio::time::timeout(10 * INTERVAL, next()).await;
        assert!(silent.is_err());
    }
}
