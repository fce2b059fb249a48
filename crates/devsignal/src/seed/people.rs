//! The demo's people: three hundred, most of them at a company, some known only by their GitHub login.

use super::companies::{COMPANIES, Company, Mood};

const FIRST: &[&str] = &[
    "Ada", "Bruno", "Chidi", "Dana", "Elif", "Farid", "Grace", "Hiro", "Ines", "Jonas", "Keiko", "Liam",
    "Maya", "Noor", "Olga", "Pedro", "Quinn", "Rosa", "Sven", "Tara", "Umar", "Vera", "Wei", "Ximena",
    "Yusuf",
];
const LAST: &[&str] = &[
    "Abara", "Berg", "Castro", "Dietrich", "Eze", "Fontaine", "Garcia", "Haddad", "Ito", "Jansen", "Kovacs",
    "Lopez",
];
const TITLES: &[&str] = &[
    "Software Engineer",
    "Senior Engineer",
    "Platform Engineer",
    "Backend Developer",
    "SRE",
];
const LEADERS: &[&str] = &[
    "VP Engineering",
    "CTO",
    "Director of Platform",
    "Head of Infrastructure",
];

/// A person of the demo.
#[derive(Debug, Clone)]
pub struct Person {
    /// Display name.
    pub name: String,
    /// GitHub login.
    pub github: String,
    /// E-mail address, for those at a company.
    pub email: Option<String>,
    /// Job title, for those who stated one.
    pub title: Option<&'static str>,
    /// Their company.
    pub company: Option<&'static Company>,
}

/// How many people of a company take part.
fn team(company: &Company) -> usize {
    match company.mood {
        Mood::Hot => 14,
        Mood::Warm => 6,
        Mood::Cold => 2,
        Mood::Gone => 3,
    }
}

/// All of them, always the same.
#[must_use]
pub fn people() -> Vec<Person> {
    let mut all = Vec::with_capacity(300);
    for company in COMPANIES {
        for position in 0..team(company) {
            let n = all.len();
            let leads = position == 0 && matches!(company.mood, Mood::Hot | Mood::Warm);
            let title = if leads {
                LEADERS[n % LEADERS.len()]
            } else {
                TITLES[n % TITLES.len()]
            };
            all.push(person(n, Some(company), Some(title)));
        }
    }
    while all.len() < 300 {
        all.push(person(all.len(), None, None));
    }
    all
}

fn person(n: usize, company: Option<&'static Company>, title: Option<&'static str>) -> Person {
    let (first, last) = (FIRST[n % FIRST.len()], LAST[(n / FIRST.len()) % LAST.len()]);
    let login = format!("{}{}", first.to_lowercase(), last.to_lowercase());
    Person {
        name: format!("{first} {last}"),
        email: company.map(|c| format!("{}.{}@{}", first.to_lowercase(), last.to_lowercase(), c.domain)),
        github: login,
        title,
        company,
    }
}
