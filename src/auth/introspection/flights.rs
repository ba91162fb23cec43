//! One question at a time for each token, however many want to know.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OnceCell;

/// What is asked at the moment. There is an entry only while somebody waits for it.
pub(super) struct Flights<T>(Mutex<HashMap<String, Arc<OnceCell<T>>>>);

impl<T: Clone> Flights<T> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// The answer to this question: of whoever has asked already, or by asking. Who comes after the answer asks anew. When the one
    /// that asks is dropped, another one who waits asks in its place.
    pub(super) async fn ask<F: Future<Output = T>>(&self, key: &str, ask: impl FnOnce() -> F) -> T {
        let flight = self.lock(|all| Arc::clone(all.entry(key.to_owned()).or_default()));
        let waiting = Waiting {
            flights: self,
            key,
            flight,
        };
        waiting.flight.get_or_init(ask).await.clone()
    }

    fn lock<R>(&self, with: impl FnOnce(&mut HashMap<String, Arc<OnceCell<T>>>) -> R) -> R {
        with(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Waiting<'a, T: Clone> {
    flights: &'a Flights<T>,
    key: &'a str,
    flight: Arc<OnceCell<T>>,
}

impl<T: Clone> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.flights.lock(|all| {
            let is_mine = all
                .get(self.key)
                .is_some_and(|flight| Arc::ptr_eq(flight, &self.flight));
            // The map's and this one: nobody else waits.
            if is_mine && (self.flight.initialized() || Arc::strong_count(&self.flight) <= 2) {
                all.remove(self.key);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn many_wait_for_one_and_who_comes_later_asks_anew() {
        let flights = Flights::new();
        let asked = AtomicUsize::new(0);
        let ask = || {
            flights.ask("a", || async {
                tokio::task::yield_now().await;
                asked.fetch_add(1, Ordering::Relaxed)
            })
        };
        assert_eq!(tokio::join!(ask(), ask(), ask()), (0, 0, 0));
        assert_eq!(ask().await, 1);
        assert!(flights.lock(|all| all.is_empty()));
    }

    #[tokio::test]
    async fn an_answer_is_for_those_who_have_waited_for_it() {
        let flights = Flights::new();
        let answer = tokio::sync::Notify::new();
        let mut first = Box::pin(flights.ask("a", || async {
            answer.notified().await;
            1
        }));
        let mut second = Box::pin(flights.ask("a", || async { 2 }));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        answer.notify_one();
        assert_eq!(first.await, 1);
        // Who has waited has not looked yet.
        assert_eq!(flights.ask("a", || async { 3 }).await, 3);
        assert_eq!(second.await, 1);
    }

    #[tokio::test]
    async fn who_waits_asks_in_the_place_of_one_that_is_gone() {
        let flights = Flights::new();
        let mut first = Box::pin(flights.ask("a", std::future::pending::<u8>));
        let mut second = Box::pin(flights.ask("a", || async { 2 }));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        assert_eq!(second.await, 2);
        assert!(flights.lock(|all| all.is_empty()));
    }

    #[tokio::test]
    async fn nothing_stays_of_those_who_left() {
        let flights = Flights::new();
        let mut first = Box::pin(flights.ask("a", std::future::pending::<u8>));
        assert!(futures_util::poll!(&mut first).is_pending());
        assert_eq!(flights.ask("b", || async { 7 }).await, 7);
        drop(first);
        assert!(flights.lock(|all| all.is_empty()));
    }
}
