//! Answers that several resources are read from: asked for once, and again only where something has happened since.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::error::AwsError;

use crate::lock::locked;

/// One such answer, with the moment at which it was asked for.
#[derive(Debug)]
pub(crate) struct Shared<T>(tokio::sync::Mutex<Option<(Instant, Arc<T>)>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(tokio::sync::Mutex::new(None))
    }
}

impl<T> Shared<T> {
    /// The answer, if it was asked for at this moment or later; else a new one, which whoever comes meanwhile waits for.
    ///
    /// # Errors
    /// That of the call. It is not kept: whoever waited asks for himself.
    pub(crate) async fn since(
        &self,
        moment: Instant,
        ask: impl AsyncFnOnce() -> Result<T, AwsError>,
    ) -> Result<Arc<T>, AwsError> {
        let mut kept = self.0.lock().await;
        if let Some((asked, answer)) = &*kept
            && *asked >= moment
        {
            return Ok(Arc::clone(answer));
        }
        let asked = Instant::now();
        let answer = Arc::new(ask().await?);
        *kept = Some((asked, Arc::clone(&answer)));
        Ok(answer)
    }
}

/// One such answer for each name.
#[derive(Debug)]
pub(crate) struct SharedByName<T>(Mutex<BTreeMap<String, Arc<Shared<T>>>>);

impl<T> Default for SharedByName<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> SharedByName<T> {
    pub(crate) fn of(&self, name: &str) -> Arc<Shared<T>> {
        let mut all = locked(&self.0);
        Arc::clone(all.entry(name.to_owned()).or_default())
    }
}

/// Requests for single things that go in one call: those that come at the same time, and those that come while a call is under way.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    waiting: Mutex<Vec<String>>,
    /// How it ended for those that went along in another's call.
    ended: tokio::sync::Mutex<BTreeMap<String, Result<(), AwsError>>>,
}

impl Joined {
    /// Has `call` made for this name, alone or with others.
    ///
    /// # Errors
    /// That of the call, for all who were in it.
    pub(crate) async fn join(
        &self,
        name: &str,
        call: impl AsyncFnOnce(Vec<String>) -> Result<(), AwsError>,
    ) -> Result<(), AwsError> {
        locked(&self.waiting).push(name.to_owned());
        // Whoever comes at the same time has his turn to say so.
        tokio::task::yield_now().await;
        let mut ended = self.ended.lock().await;
        if let Some(end) = ended.remove(name) {
            return end;
        }
        let names = std::mem::take(&mut *locked(&self.waiting));
        let end = call(names.clone()).await;
        ended.extend(names.into_iter().filter(|other| other != name).map(|other| (other, end.clone())));
        end
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn an_answer_serves_all_until_something_has_happened() {
        let (shared, asked) = (Shared::default(), Cell::new(0));
        let ask = async || {
            tokio::task::yield_now().await;
            asked.set(asked.get() + 1);
            Ok(asked.get())
        };
        let began = Instant::now();
        let (first, second) = tokio::join!(shared.since(began, ask), shared.since(began, ask));
        assert_eq!((*first.unwrap(), *second.unwrap()), (1, 1));
        assert_eq!(*shared.since(began, ask).await.unwrap(), 1);
        assert_eq!(*shared.since(Instant::now(), ask).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn requests_that_come_together_go_in_one_call() {
        let (joined, calls) = (Joined::default(), Cell::new(0));
        let call = async |names: Vec<String>| {
            calls.set(calls.get() + 1);
            assert_eq!(names, ["a", "b"]);
            Ok(())
        };
        let (first, second) = tokio::join!(joined.join("a", call), joined.join("b", call));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(calls.get(), 1);
    }

    #[tokio::test]
    async fn an_error_is_not_kept() {
        let shared = Shared::<()>::default();
        let error = || AwsError { code: "AccessDenied".to_owned(), message: String::new(), request_id: None };
        let began = Instant::now();
        assert!(shared.since(began, async || Err(error())).await.is_err());
        assert!(shared.since(began, async || Ok(())).await.is_ok());
    }
}
