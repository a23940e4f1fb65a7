//! The merchants of the sandbox, as they are registered with its PSP.

/// A merchant.
#[derive(Debug)]
pub struct Profile {
    /// What the PSP calls the merchant to banks, after its own name.
    pub id: &'static str,
    /// The registered name: payeeName of every payment request, and `iss` of every mozPay request.
    pub name: &'static str,
    /// Hosts that the merchant's pages come from. Orders that come from no page, as those of `fwp-sandbox order`, count as from the
    /// first.
    pub hosts: &'static [&'static str],
    /// The account that is credited.
    pub receive_account: &'static str,
    /// Where the merchant's pages are.
    pub path: &'static str,
    /// Number of its first order.
    pub first_order: i64,
    /// Its file of orders.
    pub books: &'static str,
}

/// The shop of the FIDO Web Pay document; its first order is the document's.
pub const SPACE_SHOP: Profile = Profile {
    id: "space-shop",
    name: "Space Shop",
    hosts: &["spaceshop.com", "spaceshop.localhost", "localhost"],
    receive_account: "DE89370400440532013000",
    path: "/shop",
    first_order: 7_040_566_321,
    books: "shop.sqlite",
};

/// A registered merchant who cheats.
pub const MOON_SHOP: Profile = Profile {
    id: "moon-shop",
    name: "Moon Shop",
    hosts: &["moonshop.example", "moonshop.localhost"],
    receive_account: "SE3550000000054910000003",
    path: "/moon",
    first_order: 1001,
    books: "moon.sqlite",
};

/// All of them.
pub const MERCHANTS: [&Profile; 2] = [&SPACE_SHOP, &MOON_SHOP];

impl Profile {
    /// How the PSP names the merchant to banks.
    pub fn name_at_banks(&self) -> String {
        format!("sandbox-psp/{}", self.id)
    }

    /// Whether `path` is on the merchant's site.
    pub fn serves(&self, path: &str) -> bool {
        path.strip_prefix(self.path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_merchant_has_hosts_an_account_and_a_site_of_its_own() {
        for merchant in MERCHANTS {
            assert!(fwp_verifier::terms::is_iban(merchant.receive_account));
            assert!(merchant.hosts.iter().all(|host| fwp::PayeeHost::parse(host).is_ok()));
            for other in MERCHANTS.into_iter().filter(|other| other.id != merchant.id) {
                assert!(!merchant.hosts.iter().any(|host| other.hosts.contains(host)));
                assert_ne!(merchant.receive_account, other.receive_account);
                assert!(!other.serves(merchant.path) && other.name != merchant.name);
            }
        }
        assert!(SPACE_SHOP.serves("/shop/orders/1") && !SPACE_SHOP.serves("/shopping"));
    }
}
