//! Lists of addresses that are not counted, or not served.

use std::{fmt, net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;

use crate::networks::{Networks, network, plain};

/// Addresses and networks, which can be changed while they are in use: whose requests are not counted, or not served. Clones share it.
///
/// An IPv4-mapped IPv6 address is IPv4; one of NAT64's well-known prefix, `64:ff9b::/96`, is both itself and the IPv4 address in it. To look an address up takes no lock, and few steps however long the list is. A network takes 8 bytes of
/// IPv4 and 32 of IPv6; while it is [set](Self::set), the old list is there beside the new one.
///
/// ```
/// use tower_gateway::throttle::AddressList;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let office = AddressList::new(["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"]);
/// assert!(office.contains("192.0.2.7".parse()?));
/// // Later, while requests come in:
/// office.set(["198.51.100.0/24"])?;
/// assert!(!office.contains("192.0.2.7".parse()?));
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct AddressList(Arc<ArcSwap<List>>);

#[derive(Default)]
struct List {
    networks: Networks,
    mistake: Option<AddressListError>,
}

/// Text that is neither an address nor a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressListError {
    first: String,
    others: usize,
}

impl AddressList {
    /// These addresses and networks. A text that is neither is a mistake, which is reported when what has the list is built.
    pub fn new<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(read(networks))))
    }

    /// Puts these in place of all others, at once.
    ///
    /// # Errors
    /// One of them is neither an address nor a network. Then the list is as it was.
    pub fn set<T: AsRef<str>>(
        &self,
        networks: impl IntoIterator<Item = T>,
    ) -> Result<(), AddressListError> {
        let list = read(networks);
        match list.mistake {
            Some(mistake) => Err(mistake),
            None => {
                self.0.store(Arc::new(list));
                Ok(())
            }
        }
    }

    /// Whether this address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let list = self.0.load();
        list.networks.contains(address) || list.networks.contains(plain(address))
    }

    /// How many networks there are; those within others are not counted.
    pub fn len(&self) -> usize {
        self.0.load().networks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What is wrong, with what is allowed.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let list = self.0.load();
        let mistakes = list.mistake.iter();
        mistakes
            .map(|mistake| format!("throttle address list: {mistake}"))
            .collect()
    }
}

fn read<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> List {
    let mut mistake: Option<AddressListError> = None;
    let networks = texts.into_iter().filter_map(|text| {
        let text = text.as_ref();
        let network = network(text);
        match &mut mistake {
            _ if network.is_some() => {}
            Some(mistake) => mistake.others += 1,
            None => {
                mistake = Some(AddressListError {
                    first: text.to_owned(),
                    others: 0,
                });
            }
        }
        network
    });
    let networks = networks.collect();
    List { networks, mistake }
}

impl fmt::Debug for AddressList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddressList({} networks)", self.len())
    }
}

impl fmt::Display for AddressListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, others } = self;
        write!(
            f,
            "`{first}` is no address; give an IP address or a network such as `10.0.0.0/8` or `fd00::/8`"
        )?;
        match others {
            0 => Ok(()),
            others => write!(f, " (and {others} more)"),
        }
    }
}

impl std::error::Error for AddressListError {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn has(list: &AddressList, address: &str) -> bool {
        list.contains(address.parse().unwrap())
    }

    #[test]
    fn a_list_is_set_at_once_for_all_who_share_it() {
        let list = AddressList::new(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]);
        let shared = list.clone();
        assert_eq!((list.len(), list.is_empty()), (3, false));
        assert!(has(&list, "::ffff:10.1.2.3") && has(&shared, "2001:db8::7"));
        list.set(["172.16.0.0/12"]).unwrap();
        assert!(has(&shared, "172.16.0.1") && !has(&shared, "10.1.2.3"));
        list.set([""; 0]).unwrap();
        assert!(shared.is_empty() && AddressList::default().is_empty());
        assert_eq!(format!("{list:?}"), "AddressList(0 networks)");
    }

    #[test]
    fn a_wrong_text_changes_nothing_and_is_told() {
        let list = AddressList::new(["10.0.0.0/8"]);
        for wrong in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0",
            "localhost",
            "10.0.0.1 ",
            "[::1]",
            "1.2.3.4:80",
            "01.2.3.4",
        ] {
            let error = list.set(["192.0.2.0/24", wrong]).unwrap_err();
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("`{wrong}` is no address; "))
            );
            assert!(has(&list, "10.1.2.3") && !has(&list, "192.0.2.1"));
        }
        let many = list.set(["x", "10.0.0.1", "y", "z"]).unwrap_err();
        let text = many.to_string();
        assert!(
            text.starts_with("`x` is") && text.ends_with("(and 2 more)"),
            "{text}"
        );

        assert_eq!(list.mistakes(), [""; 0]);
        let wrong = AddressList::new(["x", "10.0.0.1"]);
        assert_eq!(wrong.mistakes().len(), 1);
        assert!(wrong.mistakes()[0].starts_with("throttle address list: `x` is no address; "));
        wrong.set(["10.0.0.1"]).unwrap();
        assert_eq!(wrong.mistakes(), [""; 0]);
    }

    #[test]
    fn a_hundred_thousand_are_a_list() {
        let texts = |shift: u32| {
            (0..100_000_u32)
                .map(move |n| format!("{}.{}.{}.{shift}", 10 + (n >> 16), (n >> 8) & 255, n & 255))
        };
        let list = AddressList::new(texts(1));
        assert_eq!(list.len(), 100_000);
        let is_over = AtomicBool::new(false);
        let readers = std::thread::scope(|scope| {
            // In each list one of both is there: who reads never sees half of one.
            let reader = scope.spawn(|| {
                let address = |last| IpAddr::from([10, 1, 2, last]);
                let is_whole = || {
                    let list = list.0.load();
                    let has = |last| list.networks.contains(address(last));
                    has(1) != has(2) && list.networks.len() == 100_000
                };
                let mut looks = std::iter::from_fn(|| {
                    let goes_on = !is_over.load(Ordering::Relaxed);
                    goes_on.then(is_whole)
                });
                looks.all(|is_whole| is_whole)
            });
            for shift in [2, 1, 2] {
                list.set(texts(shift)).unwrap();
            }
            is_over.store(true, Ordering::Relaxed);
            reader.join()
        });
        assert!(readers.unwrap());
        assert!(has(&list, "10.0.0.2") && !has(&list, "10.0.0.1"));
    }
}
