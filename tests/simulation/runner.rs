//! Runs one schedule a seed, and shrinks the plan of one that fails.

use std::fmt::Debug;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

fn from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(number) => number.parse().expect(name),
        Err(_) => default,
    }
}

/// Runs `schedule` on as many plans as asked. It says whether everything in the plan succeeded.
///
/// # Panics
/// On the first plan that fails, with its smallest form.
pub fn run<P, F>(
    test: &str,
    default: u64,
    plans: impl Strategy<Value = P>,
    schedule: impl Fn(P) -> F,
) where
    P: Clone + Debug,
    F: Future<Output = Result<bool, String>>,
{
    let first = from_env("OSS_APPEND_SEED", 1);
    let count = from_env("OSS_APPEND_SCHEDULES", default);
    let succeeded = AtomicU64::new(0);
    let config = Config {
        cases: 1,
        failure_persistence: None,
        max_shrink_iters: 5_000,
        ..Config::default()
    };
    for seed in first..first + count {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let outcome = TestRunner::new_with_rng(config.clone(), random).run(&plans, |plan| {
            // The jitter of the back-off is drawn from here.
            fastrand::seed(seed);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime");
            let done = runtime
                .block_on(schedule(plan))
                .map_err(proptest::test_runner::TestCaseError::fail)?;
            succeeded.fetch_add(u64::from(done), Ordering::Relaxed);
            Ok(())
        });
        if let Err(error) = outcome {
            let (reason, plan) = match error {
                TestError::Fail(reason, plan) => (reason.to_string(), format!("{plan:#?}")),
                TestError::Abort(reason) => (reason.to_string(), String::new()),
            };
            panic!(
                "{reason}\nthe smallest plan that fails: {plan}\nreproduce: OSS_APPEND_SEED={seed} \
                 OSS_APPEND_SCHEDULES=1 cargo test --test simulation {test}"
            );
        }
    }
    let succeeded = succeeded.into_inner();
    println!("{test}: {count} schedules, {succeeded} of them without a failure of the writer");
    if count >= 1000 {
        assert!(succeeded > count / 5, "too few plans succeed");
        assert!(count - succeeded > count / 50, "too few plans fail");
    }
}
