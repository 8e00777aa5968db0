//! The laws of the ledger, held against random lives: whatever callers, server, network and clock do.

mod world;

mod life;

use life::{Life, Start, Step, start, step};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Lives through all steps and to the end, and tells which laws were broken.
fn live(start: Start, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut life = Life::new(start);
    for step in steps {
        life.take(step);
        life.judge();
        prop_assert!(life.world.faults.is_empty(), "{:#?}", life.world.faults);
    }
    life.end();
    prop_assert!(life.world.faults.is_empty(), "{:#?}", life.world.faults);
    Ok(())
}

fn lives(cases: u32, rng_seed: RngSeed) -> ProptestConfig {
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    // The same lives at each run, so that a change is judged by what it changes.
    #![proptest_config(lives(2_000, RngSeed::Fixed(1)))]

    #[test]
    fn the_laws_hold_in_every_life(start in start(), steps in prop::collection::vec(step(), 1..24)) {
        live(start, steps)?;
    }
}

proptest! {
    // Other lives at each run.
    #![proptest_config(lives(20_000, RngSeed::Random))]

    #[test]
    fn long_the_laws_hold_in_other_lives(start in start(), steps in prop::collection::vec(step(), 1..40)) {
        live(start, steps)?;
    }
}
