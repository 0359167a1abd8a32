//! How many connections a listener has open, in all and from one address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places for connections.
#[derive(Debug)]
pub struct Room {
    places: Arc<Semaphore>,
    /// Most connections from one address.
    each: usize,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection's place; dropping it makes room for another.
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    address: IpAddr,
    _free: OwnedSemaphorePermit,
}

impl Room {
    /// Room for `all` connections, and for `each` of them from one address.
    pub fn new(all: usize, each: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(all)), each, taken: Mutex::default() }
    }

    /// Waits until one more connection may be accepted, from wherever it will come. `None` never
    /// comes: nothing closes the semaphore.
    pub async fn free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Gives the place to a connection from this address, unless it has its share.
    pub fn take(self: &Arc<Self>, free: OwnedSemaphorePermit, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Place { room: Arc::clone(self), address, _free: free })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = taken.entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Who is counted as one: an IPv4 address, or an IPv6 network of 64 bits, which one host can use
/// up alone.
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule O25.
    #[test]
    fn one_host_counts_as_one_address() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::1"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
