//! Several appends under way at a time in the store in memory: carried out in their order, each with
//! its own fault. One that gets no answer of the store ends the lane for all behind it, which are
//! carried out nevertheless, or not, as their own faults say.

use futures::FutureExt;
use futures::future::BoxFuture;
use oss_append::{AppendAnswer, AppendRequest, Error, Lane, Result};
use tokio::sync::oneshot;

use super::store::{SimStore, broken};

pub struct SimLane {
    store: SimStore,
    last: Option<Before>,
}

/// What an append has to know of the one that was sent before it.
struct Before {
    /// It is carried out, or never will be on this lane. Lost: it was given up before.
    arrived: oneshot::Receiver<()>,
    /// It was answered. Lost: it never will be.
    answered: oneshot::Receiver<()>,
}

impl SimLane {
    pub fn new(store: SimStore) -> Self {
        Self { store, last: None }
    }
}

impl Lane for SimLane {
    fn append(&mut self, request: AppendRequest) -> BoxFuture<'static, Result<AppendAnswer>> {
        let ((arrives, arrived), (answers, answered)) = (oneshot::channel(), oneshot::channel());
        let before = self.last.replace(Before { arrived, answered });
        let store = self.store.clone();
        store.log_append(&request);
        async move {
            let latency = store.world().latency;
            tokio::time::sleep(latency).await;
            let mut answered = None;
            if let Some(before) = before {
                // The connection is closed with the one that was given up.
                before.arrived.await.map_err(|_| broken())?;
                answered = Some(before.answered);
            }
            let (result, is_answered) = store.carry_out(&request).await;
            let _ = arrives.send(());
            if let Some(answered) = answered {
                answered.await.map_err(|_| broken())?;
            }
            if !is_answered {
                std::future::pending::<()>().await;
            }
            if result.as_ref().err().is_none_or(is_answer) {
                let _ = answers.send(());
            }
            result
        }
        .boxed()
    }
}

fn is_answer(error: &Error) -> bool {
    error.service_error().is_some()
}
