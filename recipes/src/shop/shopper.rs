//! A shopper's home, devices and habits.

/// Where shoppers live: country, city, and degrees of latitude and longitude. Any two are farther apart than most flights of an hour.
const CITIES: [(&str, &str, f64, f64); 8] = [
    ("US", "Chicago", 41.88, -87.63),
    ("US", "Seattle", 47.61, -122.33),
    ("GB", "Leeds", 53.80, -1.55),
    ("DE", "Hamburg", 53.55, 9.99),
    ("FR", "Lyon", 45.76, 4.84),
    ("JP", "Osaka", 34.69, 135.50),
    ("BR", "Recife", -8.05, -34.88),
    ("AU", "Perth", -31.95, 115.86),
];

/// How many of the other cities are far away from any one: farther than an airliner flies in two hours.
const FAR_KILOMETERS: f64 = 2_000.0;

/// A shopper, who is the same in each run: who came back with another home or device would be suspicious.
#[derive(Clone, Debug)]
pub(crate) struct Shopper {
    pub(crate) user_id: String,
    pub(crate) currency: &'static str,
    /// What a purchase usually costs, in hundredths.
    pub(crate) usual_cents: u32,
    number: u32,
    city: usize,
}

impl Shopper {
    /// The shopper of this number, who goes by this name.
    pub(crate) fn new(user_id: String, number: u32) -> Self {
        // Numbers that follow each other are to differ in everything: Knuth's multiplicative hashing.
        let mixed = number.wrapping_mul(2_654_435_769);
        let city = (mixed >> 16) as usize % CITIES.len();
        let currency = match CITIES[city].0 {
            "GB" => "GBP",
            "DE" | "FR" => "EUR",
            _ => "USD",
        };
        Self { user_id, currency, usual_cents: 2_000 + (mixed >> 8) % 8_000, number, city }
    }

    /// One of the shopper's two devices.
    pub(crate) fn device(&self, second: bool) -> String {
        format!("device-{:04}-{}", self.number, if second { "b" } else { "a" })
    }

    /// Where the shopper is, within some kilometers.
    pub(crate) fn at_home(&self, rng: &mut fastrand::Rng) -> Whereabouts {
        Whereabouts::near(self.city, rng)
    }

    /// Somewhere else, where nobody gets to within an hour.
    pub(crate) fn far_away(&self, rng: &mut fastrand::Rng) -> Whereabouts {
        let home = CITIES[self.city];
        let is_far = |place: &usize| {
            let (_, _, latitude, longitude) = CITIES[*place];
            // A degree of latitude has 111 km, and one of longitude at most as many: a rough distance is enough.
            let east = (longitude - home.3) * home.2.to_radians().cos();
            let north = latitude - home.2;
            // `hypot` would take a newer glibc than Lambda has.
            (north * north + east * east).sqrt() * 111.0 > FAR_KILOMETERS
        };
        let far: Vec<usize> = (0..CITIES.len()).filter(is_far).collect();
        Whereabouts::near(far[rng.usize(..far.len())], rng)
    }

    /// An amount of about so many times the usual one, a third more or less, as text: so no digit depends on how a float is
    /// printed.
    pub(crate) fn amount(&self, times: f64, rng: &mut fastrand::Rng) -> String {
        let cents = (f64::from(self.usual_cents) * times * (rng.f64() * 0.6 - 0.3).exp()).round();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "some thousands, and never negative"
        )]
        let cents = cents as u64;
        format!("{}.{:02}", cents / 100, cents % 100)
    }
}

/// Where an event comes from.
#[derive(Clone, Debug)]
pub(crate) struct Whereabouts {
    pub(crate) country: &'static str,
    pub(crate) city: &'static str,
    pub(crate) latitude: f64,
    pub(crate) longitude: f64,
}

impl Whereabouts {
    fn near(city: usize, rng: &mut fastrand::Rng) -> Self {
        let (country, city, latitude, longitude) = CITIES[city];
        let mut about = |degrees: f64| ((degrees + (rng.f64() - 0.5) / 5.0) * 1e4).round() / 1e4;
        Self { country, city, latitude: about(latitude), longitude: about(longitude) }
    }
}
