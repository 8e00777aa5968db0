//! Fuzzes the ledger: bytes choose a life of it, and the laws hold in each. The same lives and the same judge as in
//! `crates/core/tests/laws.rs`, led by coverage instead of chance.
#![no_main]

#[path = "../../crates/core/tests/world/mod.rs"]
mod world;

#[path = "../../crates/core/tests/life/mod.rs"]
mod life;

use libfuzzer_sys::fuzz_target;
use life::{Life, start, step};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// So many bytes choose one step. They are the seed of its draw, so that a change of bytes is one of few steps.
const SEED: usize = 4;
const STEPS: usize = 32;

fuzz_target!(|bytes: &[u8]| {
    let mut seeds = bytes.chunks(SEED);
    let Some(start) = drawn(&start(), seeds.next().unwrap_or_default()) else { return };
    let steps = step();
    let mut life = Life::new(start);
    for step in seeds.take(STEPS).filter_map(|seed| drawn(&steps, seed)) {
        life.take(step);
        life.judge();
        assert!(life.world.faults.is_empty(), "{:#?}", life.world.faults);
    }
    life.end();
    assert!(life.world.faults.is_empty(), "{:#?}", life.world.faults);
});

/// What the strategy draws by this seed.
fn drawn<S: Strategy>(strategy: &S, seed: &[u8]) -> Option<S::Value> {
    let mut whole = [0; 32];
    whole[..seed.len()].copy_from_slice(seed);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &whole);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    strategy.new_tree(&mut runner).ok().map(|tree| tree.current())
}
