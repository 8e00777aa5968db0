//! What is told of settings that do not fit, in months that pass at once.

use std::time::Duration;

use leasehold::clock::Clock;
use leasehold::token_manager::{Oddity, TokenEvent, TokenManagerSettings};
use leasehold_testkit::{AppRole, Server};
use serde_json::json;

use crate::run::identity;
use crate::watched::{Watched, client, state_dir};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const MONTH: u64 = 30 * DAY;

/// What is told of these settings in three months: check interval, threshold, and what is healthy. The server does not know
/// of these months: a look-up finds the token as young as it was.
async fn told(server: &Server, role: &AppRole, spans: [u64; 3]) -> Vec<(Oddity, u64)> {
    let (clock, steering) = Clock::steered();
    let [check_interval, renew_threshold, healthy_above] = spans.map(Duration::from_secs);
    let mut settings = TokenManagerSettings::new(state_dir(server));
    (settings.check_interval, settings.renew_threshold) = (check_interval, renew_threshold);
    (settings.healthy_above, settings.clock) = (healthy_above, clock);
    let mut watched = Watched::start_with(client(server.address(), None), identity(role), settings);
    watched.manager.ready().await.unwrap();
    for _ in 0..3 {
        steering.sleep(Duration::from_secs(MONTH - DAY));
        watched.wait_for(|event| matches!(event, TokenEvent::Checked { .. })).await;
        assert!(watched.manager.force_renewal().await);
        watched.wait_for(|event| matches!(event, TokenEvent::Renewed { .. })).await;
    }
    watched.manager.stop().await;
    let advice = watched.told.iter().filter_map(|event| match event {
        TokenEvent::Advice(advice) => Some((advice.oddity, advice.right.as_secs())),
        _ => None,
    });
    advice.collect()
}

#[tokio::test]
async fn of_a_token_of_a_month_each_oddity_is_told_once_in_three_months() {
    let server = Server::start();
    let role = server.approle("app", &["default"], json!({ "token_ttl": "720h" }));
    let all = [
        ([300, 2 * HOUR, HOUR], None),
        // What source 002 shows as the wrong way: a threshold of the whole life.
        ([300, MONTH, HOUR], Some((Oddity::ThresholdBeyondHalf, MONTH / 4))),
        ([300, 20 * DAY, HOUR], Some((Oddity::ThresholdBeyondHalf, MONTH / 4))),
        ([HOUR, 2 * HOUR, HOUR], Some((Oddity::ThresholdWithinChecks, 3 * HOUR))),
        ([12 * DAY, 8 * DAY, HOUR], Some((Oddity::SparseChecks, 5 * DAY / 2))),
        ([10, 2 * HOUR, HOUR], Some((Oddity::HastyChecks, 300))),
        ([300, HOUR, HOUR], Some((Oddity::HealthBeyondThreshold, HOUR / 2))),
    ];
    let check = async |(spans, expect)| {
        assert_eq!(told(&server, &role, spans).await, Vec::from_iter(expect), "{spans:?}");
    };
    futures_util::future::join_all(all.map(check)).await;
}
