//! Many measured times, summed up.

use std::time::Duration;

/// Measured times.
#[derive(Default)]
pub(crate) struct Times(Vec<Duration>);

impl Extend<Duration> for Times {
    fn extend<I: IntoIterator<Item = Duration>>(&mut self, more: I) {
        self.0.extend(more);
        self.0.sort_unstable();
    }
}

impl Times {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn longest(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    fn part(&self, hundredths: usize) -> Duration {
        let at = (self.0.len() * hundredths / 100).min(self.0.len().saturating_sub(1));
        self.0.get(at).copied().unwrap_or_default()
    }

    /// `median 5 ms, p99 20 ms, longest 31 ms`.
    pub(crate) fn told(&self) -> String {
        let [median, most, longest] =
            [self.part(50), self.part(99), self.longest()].map(|time| time.as_millis());
        format!("median {median} ms, p99 {most} ms, longest {longest} ms")
    }
}

/// Runs each of these in a thread of its own, with a runtime of its own, and gives what they bring.
pub(crate) fn together<T: Send, F: Future<Output = T>>(
    count: usize,
    each: impl Fn(usize) -> F + Sync,
) -> Vec<T> {
    std::thread::scope(|scope| {
        let run = |at| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(each(at))
        };
        let threads: Vec<_> = (0..count).map(|at| scope.spawn(move || run(at))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Lets all of them go on together on this thread.
pub(crate) async fn all<T>(futures: Vec<impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, answer) in waiting.iter_mut().filter(|(_, answer)| answer.is_none()) {
            if let std::task::Poll::Ready(ready) = future.as_mut().poll(context) {
                *answer = Some(ready);
            }
        }
        match waiting.iter().all(|(_, answer)| answer.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    waiting.into_iter().filter_map(|(_, answer)| answer).collect()
}
