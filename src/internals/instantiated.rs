//! Generic code for the client as the store, compiled once with the library: else each test and each
//! example compiles all of it again. Only builds without optimization share it.

use futures::future::BoxFuture;

use crate::client::OssClient;
use crate::emulator::Emulator;
use crate::error::Result;
use crate::keyed::KeyedWriter;
use crate::log::OssLogAppender;
use crate::rolling::RollingWriter;
use crate::values::path::ObjectPath;
use crate::writer::OssAppendWriter;

/// What nobody runs: that it is there is enough.
pub fn instantiated(client: &OssClient, object: &ObjectPath) -> Vec<BoxFuture<'static, bool>> {
    let writer = || OssAppendWriter::builder(client.clone(), object.clone());
    let rolling = || RollingWriter::builder(client.clone(), object.bucket(), object.key());
    let log = || OssLogAppender::builder(rolling());
    let keyed = || KeyedWriter::builder(client.clone(), object.bucket());
    vec![
        boxed(writer().open()),
        boxed(rolling().open()),
        boxed(log().start()),
        boxed(Emulator::builder().start()),
        Box::pin({
            let (rolling, keyed, log) = (rolling(), keyed(), log());
            async move {
                rolling.start().is_ok() && keyed.start().is_ok() && log.start_blocking().is_ok()
            }
        }),
    ]
}

fn boxed<T>(future: impl Future<Output = Result<T>> + Send + 'static) -> BoxFuture<'static, bool> {
    Box::pin(async move { future.await.is_ok() })
}
