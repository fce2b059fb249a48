//! The demo's companies. Names and domains are invented; `.example` domains can belong to nobody (RFC 2606).

/// How a company behaves over the ninety days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Growing team, near its limits, decision-makers looking at prices.
    Hot,
    /// Steady use by several people.
    Warm,
    /// A few people trying.
    Cold,
    /// Was active two months ago.
    Gone,
}

/// A company of the demo.
#[derive(Debug, Clone, Copy)]
pub struct Company {
    /// Name.
    pub name: &'static str,
    /// Domain.
    pub domain: &'static str,
    /// Number of employees.
    pub employees: u32,
    /// Industry.
    pub industry: &'static str,
    /// How it behaves.
    pub mood: Mood,
}

const fn c(
    name: &'static str,
    domain: &'static str,
    employees: u32,
    industry: &'static str,
    mood: Mood,
) -> Company {
    Company {
        name,
        domain,
        employees,
        industry,
        mood,
    }
}

/// All of them.
pub const COMPANIES: &[Company] = &[
    c("Acme Cloud", "acme-cloud.example", 120, "software", Mood::Hot),
    c("Nimbus Data", "nimbusdata.example", 340, "software", Mood::Hot),
    c("Quarry Labs", "quarrylabs.example", 85, "fintech", Mood::Hot),
    c("Tidepool Systems", "tidepool.example", 220, "software", Mood::Hot),
    c(
        "Lattice Forge",
        "latticeforge.example",
        64,
        "developer tools",
        Mood::Hot,
    ),
    c("Bluefin Robotics", "bluefin.example", 510, "robotics", Mood::Hot),
    c(
        "Harbor Analytics",
        "harboranalytics.example",
        150,
        "software",
        Mood::Hot,
    ),
    c(
        "Copperline",
        "copperline.example",
        95,
        "developer tools",
        Mood::Hot,
    ),
    c("Paperjet", "paperjet.example", 45, "software", Mood::Warm),
    c(
        "Northbeam Pay",
        "northbeampay.example",
        260,
        "fintech",
        Mood::Warm,
    ),
    c("Fernwood Health", "fernwood.example", 700, "health", Mood::Warm),
    c("Skylark Media", "skylarkmedia.example", 180, "media", Mood::Warm),
    c(
        "Ironbark Security",
        "ironbark.example",
        130,
        "security",
        Mood::Warm,
    ),
    c("Moss & Stone", "mossandstone.example", 30, "agency", Mood::Warm),
    c("Vantage Grid", "vantagegrid.example", 410, "energy", Mood::Warm),
    c(
        "Cobalt Freight",
        "cobaltfreight.example",
        950,
        "logistics",
        Mood::Warm,
    ),
    c(
        "Juniper Street",
        "juniperstreet.example",
        75,
        "real estate",
        Mood::Warm,
    ),
    c(
        "Redshift Games",
        "redshiftgames.example",
        140,
        "games",
        Mood::Warm,
    ),
    c("Glasshouse AI", "glasshouse.example", 55, "software", Mood::Warm),
    c(
        "Peregrine Air",
        "peregrineair.example",
        1_800,
        "aviation",
        Mood::Warm,
    ),
    c(
        "Orchard Labs",
        "orchardlabs.example",
        90,
        "developer tools",
        Mood::Warm,
    ),
    c(
        "Stillwater Bank",
        "stillwater.example",
        5_200,
        "banking",
        Mood::Warm,
    ),
    c("Kestrel Maps", "kestrelmaps.example", 110, "software", Mood::Warm),
    c("Foxglove", "foxglove.example", 25, "software", Mood::Cold),
    c("Tin Roof", "tinroof.example", 18, "agency", Mood::Cold),
    c("Bramble", "bramble.example", 12, "software", Mood::Cold),
    c("Saltmarsh Studio", "saltmarsh.example", 22, "media", Mood::Cold),
    c(
        "Alder Insurance",
        "alderinsurance.example",
        3_100,
        "insurance",
        Mood::Cold,
    ),
    c("Windrose Travel", "windrose.example", 240, "travel", Mood::Cold),
    c(
        "Meridian Schools",
        "meridian.example",
        800,
        "education",
        Mood::Cold,
    ),
    c("Larkspur Retail", "larkspur.example", 1_400, "retail", Mood::Cold),
    c("Basalt Mining", "basalt.example", 2_600, "mining", Mood::Cold),
    c("Thistle & Co", "thistle.example", 9, "agency", Mood::Cold),
    c("Umber Design", "umber.example", 16, "agency", Mood::Cold),
    c(
        "Cinder Works",
        "cinderworks.example",
        60,
        "manufacturing",
        Mood::Cold,
    ),
    c("Hollow Oak", "hollowoak.example", 33, "software", Mood::Cold),
    c("Pinecone", "pinecone.example", 48, "software", Mood::Cold),
    c(
        "Rivet Motors",
        "rivetmotors.example",
        4_300,
        "automotive",
        Mood::Cold,
    ),
    c("Sable Legal", "sablelegal.example", 210, "legal", Mood::Cold),
    c(
        "Drift Telecom",
        "drifttelecom.example",
        6_000,
        "telecom",
        Mood::Cold,
    ),
    c("Amberline", "amberline.example", 70, "software", Mood::Cold),
    c("Yarrow Bio", "yarrowbio.example", 190, "biotech", Mood::Gone),
    c(
        "Quicksilver Ads",
        "quicksilverads.example",
        88,
        "advertising",
        Mood::Gone,
    ),
    c(
        "Granite Peak",
        "granitepeak.example",
        320,
        "construction",
        Mood::Gone,
    ),
    c("Zephyr Labs", "zephyrlabs.example", 27, "software", Mood::Gone),
    c("Ebb & Flow", "ebbandflow.example", 14, "agency", Mood::Gone),
    c(
        "Cardinal Foods",
        "cardinalfoods.example",
        2_900,
        "food",
        Mood::Gone,
    ),
    c("Lantern", "lantern.example", 40, "software", Mood::Gone),
    c(
        "Marble Arch Media",
        "marblearch.example",
        100,
        "media",
        Mood::Gone,
    ),
    c("Tundra Outfitters", "tundra.example", 450, "retail", Mood::Gone),
    c("Velvet Ant", "velvetant.example", 19, "games", Mood::Gone),
    c(
        "Osprey Capital",
        "ospreycapital.example",
        75,
        "finance",
        Mood::Gone,
    ),
];
