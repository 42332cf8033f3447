//! Kills at random moments.

use std::time::Duration;

use fastrand::Rng;
use oss_append::emulator::{Action, Emulator, EmulatorBuilder, Fault, Late, Operation};

/// The seed of a test; told if the test panics.
pub struct Seed(u64);

impl Seed {
    pub fn new() -> Self {
        let seed = match std::env::var("OSS_APPEND_SEED") {
            Ok(seed) => seed.parse().expect("OSS_APPEND_SEED"),
            Err(_) => fastrand::u64(..),
        };
        eprintln!("OSS_APPEND_SEED={seed}");
        Self(seed)
    }

    /// Randomness for part `number` of the test.
    pub fn random(&self, number: u64) -> Rng {
        Rng::with_seed(self.0.wrapping_add(number))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed) = self;
            eprintln!(
                "reproduce: OSS_APPEND_SEED={seed} cargo test -p oss-append-pipelines --test broker"
            );
        }
    }
}

/// An OSS server so slow that most kills hit an append.
pub fn slow() -> EmulatorBuilder {
    Emulator::builder().latency(Duration::from_millis(2))
}

/// Loses answers, and applies appends late.
pub fn disturb(emulator: &Emulator, random: &mut Rng) {
    for action in [
        Action::DropAnswer,
        Action::ApplyLate(Late::After(Duration::from_millis(20))),
    ] {
        let fault = Fault::new(Operation::AppendObject, action);
        emulator.inject(fault.probability(0.01, random.u64(..)));
    }
}

/// Somewhere in the life of a request, which the moment before has begun.
pub async fn instant(random: &mut Rng) {
    tokio::time::sleep(Duration::from_micros(random.u64(0..8_000))).await;
}
