//! The catalogue: locations, server types and their prices. Source: a dump of mid-2026, prices indicative.

use super::http::{Api, ApiError, Reply};
use super::input::Ref;
use super::query::ListSpec;
use super::state::{Cx, Shared};
use serde_json::{Value, json};

pub(crate) struct Location {
    pub(crate) id: i64,
    pub(crate) name: &'static str,
    description: &'static str,
    country: &'static str,
    city: &'static str,
    latitude: f64,
    longitude: f64,
    pub(crate) zone: &'static str,
}

const fn location(
    id: i64,
    name: &'static str,
    place: [&'static str; 3],
    at: (f64, f64),
    zone: &'static str,
) -> Location {
    let [description, country, city] = place;
    Location { id, name, description, country, city, latitude: at.0, longitude: at.1, zone }
}

pub(crate) const LOCATIONS: [Location; 6] = [
    location(1, "fsn1", ["Falkenstein DC Park 1", "DE", "Falkenstein"], (50.47612, 12.370_071), "eu-central"),
    location(2, "nbg1", ["Nuremberg DC Park 1", "DE", "Nuremberg"], (49.452_102, 11.076_665), "eu-central"),
    location(3, "hel1", ["Helsinki DC Park 1", "FI", "Helsinki"], (60.169_855, 24.938_379), "eu-central"),
    location(4, "ash", ["Ashburn, VA", "US", "Ashburn, VA"], (39.045_821, -77.487_073), "us-east"),
    location(5, "hil", ["Hillsboro, OR", "US", "Hillsboro, OR"], (45.54222, -122.951_924), "us-west"),
    location(6, "sin", ["Singapore", "SG", "Singapore"], (1.283_333, 103.833_333), "ap-southeast"),
];

impl Location {
    pub(crate) fn json(&self) -> Value {
        json!({
            "id": self.id, "name": self.name, "description": self.description, "country": self.country,
            "city": self.city, "latitude": self.latitude, "longitude": self.longitude, "network_zone": self.zone,
        })
    }
}

pub(crate) fn find_location(wanted: &Ref) -> Option<&'static Location> {
    LOCATIONS.iter().find(|location| wanted.is(location.id, location.name))
}

/// The JSON of a location that an object refers to by name.
pub(crate) fn location_json(name: &str) -> Value {
    LOCATIONS.iter().find(|location| location.name == name).map_or(Value::Null, Location::json)
}

pub(crate) fn zone_of(location: &str) -> &'static str {
    LOCATIONS.iter().find(|other| other.name == location).map_or("", |location| location.zone)
}

const EU: &[&str] = &["fsn1", "nbg1", "hel1"];
const EU_SIN: &[&str] = &["fsn1", "nbg1", "hel1", "sin"];
const US: &[&str] = &["ash", "hil"];
const ALL: &[&str] = &["fsn1", "nbg1", "hel1", "ash", "hil", "sin"];

pub(crate) struct ServerType {
    pub(crate) id: i64,
    pub(crate) name: &'static str,
    cores: i64,
    memory: f64,
    /// Local disk in GB.
    pub(crate) disk: i64,
    locations: &'static [&'static str],
    /// EUR a month, net, in the EU.
    price: f64,
}

const fn server_type(
    id: i64,
    name: &'static str,
    size: (i64, f64, i64),
    locations: &'static [&'static str],
    price: f64,
) -> ServerType {
    ServerType { id, name, cores: size.0, memory: size.1, disk: size.2, locations, price }
}

pub(crate) const SERVER_TYPES: [ServerType; 29] = [
    server_type(114, "cx23", (2, 4.0, 40), EU, 5.49),
    server_type(115, "cx33", (4, 8.0, 80), EU, 8.49),
    server_type(116, "cx43", (8, 16.0, 160), EU, 15.99),
    server_type(117, "cx53", (16, 32.0, 320), EU, 29.49),
    server_type(108, "cpx12", (1, 2.0, 40), EU_SIN, 11.49),
    server_type(109, "cpx22", (2, 4.0, 80), EU_SIN, 19.49),
    server_type(110, "cpx32", (4, 8.0, 160), EU_SIN, 35.49),
    server_type(111, "cpx42", (8, 16.0, 320), EU_SIN, 69.49),
    server_type(112, "cpx52", (12, 24.0, 480), EU_SIN, 100.49),
    server_type(113, "cpx62", (16, 32.0, 640), EU_SIN, 129.99),
    server_type(22, "cpx11", (2, 2.0, 40), US, 6.49),
    server_type(23, "cpx21", (3, 4.0, 80), US, 11.99),
    server_type(24, "cpx31", (4, 8.0, 160), US, 21.99),
    server_type(25, "cpx41", (8, 16.0, 240), US, 40.49),
    server_type(26, "cpx51", (16, 32.0, 360), US, 81.49),
    server_type(45, "cax11", (2, 4.0, 40), EU, 5.99),
    server_type(93, "cax21", (4, 8.0, 80), EU, 10.49),
    server_type(94, "cax31", (8, 16.0, 160), EU, 20.49),
    server_type(95, "cax41", (16, 32.0, 320), EU, 40.49),
    server_type(96, "ccx13", (2, 8.0, 80), ALL, 42.99),
    server_type(97, "ccx23", (4, 16.0, 160), ALL, 85.99),
    server_type(98, "ccx33", (8, 32.0, 240), ALL, 138.49),
    server_type(99, "ccx43", (16, 64.0, 360), ALL, 275.99),
    server_type(100, "ccx53", (32, 128.0, 600), ALL, 549.99),
    server_type(101, "ccx63", (48, 192.0, 960), ALL, 824.99),
    // No longer sold; listed so that clients meet a type whose time is over.
    server_type(104, "cx22", (2, 4.0, 40), EU, 4.49),
    server_type(105, "cx32", (4, 8.0, 80), EU, 7.99),
    server_type(106, "cx42", (8, 16.0, 160), EU, 18.49),
    server_type(107, "cx52", (16, 32.0, 320), EU, 36.49),
];

impl ServerType {
    pub(crate) fn architecture(&self) -> &'static str {
        if self.name.starts_with("cax") { "arm" } else { "x86" }
    }

    /// Types that can no longer be ordered anywhere.
    pub(crate) fn is_over(&self) -> bool {
        (104..=107).contains(&self.id)
    }

    pub(crate) fn is_in(&self, location: &str) -> bool {
        self.locations.contains(&location)
    }

    fn category(&self) -> &'static str {
        match self.name.get(..3) {
            Some("ccx") => "General Purpose",
            Some("cpx") => "Regular Performance",
            _ => "Cost-Optimized",
        }
    }

    fn deprecation(&self) -> Value {
        if self.is_over() {
            json!({"announced": "2025-10-16T06:00:00Z", "unavailable_after": "2025-12-31T23:59:59Z"})
        } else {
            Value::Null
        }
    }

    /// A row for every location, also where the type is not sold: the real list has such rows too.
    pub(crate) fn prices(&self) -> Value {
        let row = |location: &Location| {
            let month = if location.zone == "eu-central" { self.price } else { self.price * 1.2 };
            json!({
                "location": location.name,
                "price_hourly": price(month / 624.0),
                "price_monthly": price(month),
                "included_traffic": 21_990_232_555_520_i64,
                "price_per_tb_traffic": price(1.0),
            })
        };
        LOCATIONS.iter().map(row).collect()
    }

    pub(crate) fn json(&self, shared: &Shared) -> Value {
        let in_location = |location: &&Location| self.is_in(location.name);
        let row = |location: &Location| {
            json!({
                "id": location.id, "name": location.name, "deprecation": self.deprecation(),
                "available": !self.is_over() && shared.availability(self.name, location.name).available,
                "recommended": !self.is_over() && location.id == 1,
            })
        };
        json!({
            "id": self.id, "name": self.name, "description": self.name.to_uppercase(), "cores": self.cores,
            "memory": self.memory, "disk": self.disk, "deprecated": self.is_over(),
            "deprecation": self.deprecation(), "prices": self.prices(), "storage_type": "local",
            "cpu_type": if self.name.starts_with("ccx") { "dedicated" } else { "shared" },
            "category": self.category(), "architecture": self.architecture(),
            "locations": LOCATIONS.iter().filter(in_location).map(row).collect::<Vec<_>>(),
        })
    }
}

pub(crate) fn find_type(wanted: &Ref) -> Option<&'static ServerType> {
    SERVER_TYPES.iter().find(|known| wanted.is(known.id, known.name))
}

/// Prices are strings with ten decimals or more; gross is with the German VAT of 19 %.
pub(crate) fn price(net: f64) -> Value {
    json!({"net": format!("{net:.10}"), "gross": format!("{:.16}", net * 1.19)})
}

pub(crate) fn list_locations(cx: &Cx<'_>) -> Api<Reply> {
    let spec = ListSpec { key: "locations", filters: &["name"], sorts: &["id", "name"], labels: false };
    cx.list(&spec, LOCATIONS.iter().map(Location::json).collect())
}

pub(crate) fn get_location(id: i64) -> Api<Reply> {
    match find_location(&Ref::Id(id)) {
        Some(location) => Ok(Reply::ok(json!({"location": location.json()}))),
        None => Err(ApiError::not_found("location", id)),
    }
}

pub(crate) fn list_types(cx: &Cx<'_>) -> Api<Reply> {
    let spec = ListSpec { key: "server_types", filters: &["name"], sorts: &[], labels: false };
    cx.list(&spec, SERVER_TYPES.iter().map(|known| known.json(cx.shared)).collect())
}

pub(crate) fn get_type(cx: &Cx<'_>, id: i64) -> Api<Reply> {
    match find_type(&Ref::Id(id)) {
        Some(known) => Ok(Reply::ok(json!({"server_type": known.json(cx.shared)}))),
        None => Err(ApiError::not_found("server type", id)),
    }
}

/// `GET /pricing`: what the catalogue's prices add up to. Load balancers are listed though the simulator has none.
pub(crate) fn pricing() -> Reply {
    let everywhere = |row: &dyn Fn(&str) -> Value| LOCATIONS.iter().map(|l| row(l.name)).collect::<Vec<_>>();
    let address = |month: f64| {
        everywhere(
            &|name| json!({"location": name, "price_hourly": price(month / 624.0), "price_monthly": price(month)}),
        )
    };
    let floating = |month: f64| everywhere(&|name| json!({"location": name, "price_monthly": price(month)}));
    let balancer = |id: i64, name: &str, month: f64| {
        let rows = everywhere(&|location| {
            json!({
                "location": location, "price_hourly": price(month / 624.0), "price_monthly": price(month),
                "included_traffic": 21_990_232_555_520_i64, "price_per_tb_traffic": price(1.0),
            })
        });
        json!({"id": id, "name": name, "prices": rows})
    };
    let types: Vec<Value> = SERVER_TYPES
        .iter()
        .filter(|known| !known.is_over())
        .map(|known| json!({"id": known.id, "name": known.name, "prices": known.prices()}))
        .collect();
    Reply::ok(json!({"pricing": {
        "currency": "EUR",
        "vat_rate": "19.0000000000",
        "image": {"price_per_gb_month": price(0.011)},
        "volume": {"price_per_gb_month": price(0.044)},
        "server_backup": {"percentage": "20.0000000000"},
        "floating_ip": {"price_monthly": price(3.0)},
        "floating_ips": [
            {"type": "ipv4", "prices": floating(3.0)},
            {"type": "ipv6", "prices": floating(1.0)},
        ],
        "primary_ips": [
            {"type": "ipv4", "prices": address(0.5)},
            {"type": "ipv6", "prices": address(0.0)},
        ],
        "server_types": types,
        "load_balancer_types": [balancer(1, "lb11", 7.49), balancer(2, "lb21", 21.49), balancer(3, "lb31", 42.99)],
    }}))
}
