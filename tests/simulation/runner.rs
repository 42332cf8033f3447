//! Runs one schedule a seed, and shrinks the plan of one that fails.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// How many simpler plans are tried for one that fails.
const MOST_SHRINKS: usize = 5_000;

fn from_env(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(number) => number.parse().expect(name),
        Err(_) => default,
    }
}

/// Runs `schedule` on as many plans as asked. It says whether everything in the plan succeeded.
///
/// # Panics
/// On the first plan that fails, with its smallest form. With `OSS_APPEND_SURVEY` at the end, with
/// each kind of failure and how often it occurred.
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
    let survey = std::env::var_os("OSS_APPEND_SURVEY").is_some();
    let mut succeeded = 0;
    // By their first lines: the first seed, and how many.
    let mut failures: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let play = |seed, plan| {
        // The jitter of the back-off is drawn from here.
        fastrand::seed(seed);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(schedule(plan))
    };
    for seed in first..first + count {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(Config::default(), random);
        let mut plan = plans.new_tree(&mut runner).expect("a plan");
        match play(seed, plan.current()) {
            Ok(done) => succeeded += u64::from(done),
            Err(reason) if survey => {
                // Without what is of this plan alone.
                let kind = reason.split(['"', '\n']).next().unwrap_or_default();
                let kind = kind.replace(|c: char| c.is_ascii_digit(), "");
                failures.entry(kind).or_insert((seed, 0)).1 += 1;
            }
            Err(mut reason) => {
                let mut smallest = plan.current();
                let mut simpler = plan.simplify();
                for _ in 0..MOST_SHRINKS {
                    if !simpler {
                        break;
                    }
                    simpler = match play(seed, plan.current()) {
                        Err(again) => {
                            (reason, smallest) = (again, plan.current());
                            plan.simplify()
                        }
                        Ok(_) => plan.complicate(),
                    };
                }
                panic!(
                    "{reason}\nthe smallest plan that fails: {smallest:#?}\nreproduce: \
                     OSS_APPEND_SEED={seed} OSS_APPEND_SCHEDULES=1 cargo test --test {} {test}",
                    env!("CARGO_CRATE_NAME")
                );
            }
        }
    }
    println!("{test}: {count} schedules, {succeeded} of them without a failure of the writer");
    for (kind, (seed, times)) in &failures {
        println!("{times:6} from seed {seed}: {kind}");
    }
    assert!(failures.is_empty(), "{} kinds of failure", failures.len());
    if count >= 1000 {
        assert!(succeeded > count / 5, "too few plans succeed");
        assert!(count - succeeded > count / 50, "too few plans fail");
    }
}
