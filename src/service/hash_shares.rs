//! The share that one client can have of the places in the hash queue.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A client can have one place for so many that are free.
const FREE_PER_PLACE: usize = 3;

/// How many places each client has.
///
/// A client has at most a third as many places as are free, and so at most a quarter of all. Several
/// clients together leave places free for others as well: five of them take five eighths.
///
/// A client has at most as many jobs in the queue as there are threads: its other jobs wait beside the
/// queue. So the job of another client waits for a few jobs of each client, however many one has sent.
#[derive(Clone, Debug)]
pub(super) struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: usize,
    threads: usize,
    clients: Mutex<Clients>,
}

/// The clients that have places, and how many they have together.
#[derive(Debug, Default)]
struct Clients {
    places: usize,
    by_address: HashMap<IpAddr, Client>,
}

/// A client that has places.
#[derive(Debug)]
struct Client {
    places: usize,
    turns: Arc<Semaphore>,
}

/// One place of a client, counted until this is dropped. A client without an address is not counted.
#[derive(Debug)]
pub(crate) struct Share(Option<Counted>);

#[derive(Debug)]
struct Counted {
    shares: Shares,
    client: IpAddr,
    turns: Arc<Semaphore>,
}

impl Shares {
    pub(super) fn new(places: usize, threads: usize) -> Self {
        Self(Arc::new(Inner {
            places,
            threads,
            clients: Mutex::default(),
        }))
    }

    /// Counts one more place of `client`; `None` if it has its share already.
    pub(super) fn take(&self, client: Option<IpAddr>) -> Option<Share> {
        let Some(client) = client else {
            return Some(Share(None));
        };
        let mut clients = self.clients();
        let Clients { places, by_address } = &mut *clients;
        let has = by_address.get(&client).map_or(0, |client| client.places);
        let free = self.0.places.saturating_sub(*places);
        if has >= (free / FREE_PER_PLACE).max(1) {
            return None;
        }
        let entry = by_address.entry(client).or_insert_with(|| Client {
            places: 0,
            turns: Arc::new(Semaphore::new(self.0.threads)),
        });
        entry.places += 1;
        *places += 1;
        Some(Share(Some(Counted {
            shares: self.clone(),
            client,
            turns: Arc::clone(&entry.turns),
        })))
    }

    fn clients(&self) -> MutexGuard<'_, Clients> {
        let clients = self.0.clients.lock();
        clients.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    /// Waits until the client has fewer jobs in the queue than there are threads. The job is counted
    /// until the permit is dropped.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        let Counted { turns, .. } = self.0.as_ref()?;
        // The semaphore is never closed.
        Arc::clone(turns).acquire_owned().await.ok()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut clients = self.shares.clients();
        clients.places -= 1;
        if let Some(client) = clients.by_address.get_mut(&self.client) {
            client.places -= 1;
            if client.places == 0 {
                clients.by_address.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn client(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_client_has_a_quarter_of_the_places_and_at_least_one() {
        for (places, most) in [(1, 1), (3, 1), (8, 2), (130, 32)] {
            let shares = Shares::new(places, 1);
            let taken: Vec<_> = (0..places)
                .map_while(|_| shares.take(Some(client(1))))
                .collect();
            assert_eq!(taken.len(), most, "{places}");
            assert!(shares.take(Some(client(2))).is_some());
        }
    }

    #[test]
    fn several_clients_leave_places_free_for_others() {
        let shares = Shares::new(130, 2);
        let mut taken = Vec::new();
        for number in (0..10).cycle().take(1000) {
            taken.extend(shares.take(Some(client(number))));
        }
        assert!(shares.clients().places <= 100, "{shares:?}");
        assert!(shares.take(Some(client(10))).is_some());
    }

    #[test]
    fn a_place_that_is_given_back_can_be_taken_again_and_leaves_nothing() {
        let shares = Shares::new(4, 1);
        for _ in 0..3 {
            let share = shares.take(Some(client(1)));
            assert!(share.is_some() && shares.take(Some(client(1))).is_none());
            drop(share);
            assert!(shares.clients().by_address.is_empty());
            assert_eq!(shares.clients().places, 0);
        }
    }

    #[test]
    fn a_client_without_an_address_is_not_counted() {
        let shares = Shares::new(1, 1);
        let taken = [(); 3].map(|()| shares.take(None));
        assert!(taken.iter().all(Option::is_some));
        assert!(
            taken
                .iter()
                .flatten()
                .all(|share| share.turn().now_or_never().is_some())
        );
    }

    #[test]
    fn a_client_has_as_many_jobs_in_the_queue_as_there_are_threads() {
        let shares = Shares::new(40, 2);
        let taken = [(); 3].map(|()| shares.take(Some(client(1))).unwrap());
        let [first, second, third] = taken.each_ref().map(|share| share.turn().now_or_never());
        assert!(first.is_some() && second.is_some() && third.is_none());
        let other = shares.take(Some(client(2))).unwrap();
        assert!(other.turn().now_or_never().is_some());
        drop(first);
        assert!(taken[2].turn().now_or_never().is_some());
    }
}
