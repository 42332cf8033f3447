//! Servers and proxies that do not take several appends at a time: what is written is there once and
//! in order, and it goes on with one at a time by itself.

use oss_append::emulator::{Action, Emulator, EmulatorBuilder, Fault, Operation, Pipelining, Rest};
use oss_append::{Backoff, OssAppendWriter, WriterStats};

use crate::support::emulated::content;
use crate::support::{MS, bytes, object};

/// Writes by appends of ten bytes, four at a time.
async fn write(emulator: &Emulator) -> WriterStats {
    let client = emulator.client().build().unwrap();
    let mut writer = OssAppendWriter::builder(client, object())
        .batch_size(10)
        .max_append_size(10)
        .buffer_capacity(100)
        .backoff(Backoff::new(MS, 2 * MS))
        .max_in_flight(4)
        .open()
        .await
        .unwrap();
    writer.write_all(&bytes(1000)).await.unwrap();
    writer.shutdown().await.unwrap();
    assert!(content(emulator) == bytes(1000));
    writer.stats()
}

async fn start(builder: EmulatorBuilder) -> Emulator {
    builder.bucket("bucket").start().await.unwrap()
}

fn sometimes(action: Action) -> Fault {
    Fault::new(Operation::AppendObject, action).probability(0.4, 1)
}

#[tokio::test]
async fn one_that_closes_on_them_gets_one_at_a_time() {
    let builder = Emulator::builder().pipelining(Pipelining::Unanswered);
    let emulator = start(builder.fault(sometimes(Action::Delay(5 * MS)))).await;
    let stats = write(&emulator).await;
    assert_eq!(stats.max_in_flight, 1);
}

#[tokio::test]
async fn one_that_carries_them_out_in_another_order_gets_one_at_a_time() {
    for pipelining in [Pipelining::AtOnce, Pipelining::Swapped] {
        let builder = Emulator::builder().pipelining(pipelining);
        let emulator = start(builder.fault(sometimes(Action::Delay(10 * MS)))).await;
        let stats = write(&emulator).await;
        assert_eq!(stats.max_in_flight, 1, "{pipelining:?}");
    }
}

#[tokio::test]
async fn one_that_takes_a_single_request_on_a_connection_gets_one_at_a_time() {
    let emulator = start(Emulator::builder().max_requests_per_connection(1)).await;
    assert_eq!(write(&emulator).await.max_in_flight, 1);
}

#[tokio::test]
async fn limits_of_a_connection_and_single_failures_leave_it_at_several() {
    let limited = Emulator::builder().max_requests_per_connection(20);
    assert_eq!(write(&start(limited).await).await.max_in_flight, 4);
    for action in [
        Action::Drop,
        Action::DropAnswer,
        Action::Close(Rest::Drop),
        Action::Close(Rest::Apply),
        Action::Close(Rest::Answer),
        Action::BadGateway,
        Action::GatewayTimeout(oss_append::emulator::Late::After(20 * MS)),
        Action::RequestTimeout,
        Action::ResetBody(3),
        Action::Torn(4),
    ] {
        let fault = Fault::new(Operation::AppendObject, action.clone());
        let faults = [9, 40, 70].map(|skip| fault.clone().skip(skip));
        let builder = faults
            .into_iter()
            .fold(Emulator::builder(), |builder, fault| builder.fault(fault));
        let stats = write(&start(builder).await).await;
        assert_eq!(stats.max_in_flight, 4, "{action:?}");
    }
}
