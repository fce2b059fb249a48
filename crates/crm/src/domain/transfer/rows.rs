//! From the cells of a row to what is to be set, with everything that is wrong at its field.

use std::collections::BTreeMap;

use csv::StringRecord;
use serde_json::Value;
use uuid::Uuid;

use super::cells::unescaped;
use super::mapping::Mapping;
use super::result::Problem;
use super::values;
use crate::domain::checks;
use crate::domain::custom::Definition;
use crate::domain::deal::Money;
use crate::domain::edit::{AccountEdit, ContactEdit, Problems};
use crate::domain::extras::ExtrasEdit;
use crate::domain::text;

/// How a row names an account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AccountRef {
    /// By id.
    Id(Uuid),
    /// By registrable domain.
    Domain(String),
    /// By name, in small letters.
    Name(String),
}

/// What all kinds of rows have.
#[derive(Debug, Clone, Default)]
pub struct Common {
    /// The record's id.
    pub id: Option<Uuid>,
    /// Tags to add, and own fields.
    pub extras: ExtrasEdit,
}

/// A row of contacts.
#[derive(Debug, Clone, Default)]
pub struct ContactRow {
    /// Id, owner, tags, own fields.
    pub common: Common,
    /// Address.
    pub email: Option<String>,
    /// Login.
    pub github: Option<String>,
    /// Phone number.
    pub phone: Option<String>,
    /// Name, title, company.
    pub edit: ContactEdit,
    /// The account, and the field that names it.
    pub account: Option<(AccountRef, &'static str)>,
}

/// A row of accounts.
#[derive(Debug, Clone, Default)]
pub struct AccountRow {
    /// Id, owner, tags, own fields.
    pub common: Common,
    /// The values.
    pub edit: AccountEdit,
}

/// A row of deals.
#[derive(Debug, Clone, Default)]
pub struct DealRow {
    /// Id, owner, tags, own fields.
    pub common: Common,
    /// Name.
    pub name: Option<String>,
    /// The account, and the field that names it.
    pub account: Option<(AccountRef, &'static str)>,
    /// Addresses of contacts.
    pub contacts: Option<Vec<String>>,
    /// Name or id of the pipeline.
    pub pipeline: Option<String>,
    /// Key or name of the stage.
    pub stage: Option<String>,
    /// Amount.
    pub amount: Option<Money>,
    /// Day.
    pub expected_close_on: Option<String>,
    /// Why it was won or lost.
    pub close_reason: Option<String>,
}

/// Reads rows by a mapping.
#[derive(Debug, Clone)]
pub struct RowReader {
    mapping: Mapping,
    own: BTreeMap<String, Definition>,
}

struct Cells<'a> {
    reader: &'a RowReader,
    row: &'a StringRecord,
    problems: Problems,
}

impl RowReader {
    /// A reader; `own` are the definitions for this kind of records.
    #[must_use]
    pub fn new(mapping: Mapping, own: BTreeMap<String, Definition>) -> Self {
        Self { mapping, own }
    }

    /// The definitions of own fields.
    #[must_use]
    pub fn own(&self) -> &BTreeMap<String, Definition> {
        &self.own
    }

    /// The mapping.
    #[must_use]
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// A row of contacts.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn contact(&self, row: &StringRecord) -> Result<ContactRow, Vec<Problem>> {
        let mut cells = self.cells(row)?;
        let names = [cells.get("firstName"), cells.get("lastName")];
        let joined = names.iter().flatten().copied().collect::<Vec<_>>().join(" ");
        let name = cells
            .line("name")
            .or_else(|| (!joined.is_empty()).then_some(joined));
        let mut read = ContactRow {
            common: cells.common(),
            account: cells.account(),
            ..ContactRow::default()
        };
        let (title, company) = (cells.line("title"), cells.line("company"));
        let (email, github, phone) = (cells.get("email"), cells.get("github"), cells.get("phone"));
        let problems = &mut cells.problems;
        read.email = problems.email("/email", email).flatten();
        read.github = problems.login("/github", github);
        read.phone = problems.phone("/phone", phone);
        read.edit.name = problems.name("/name", name);
        read.edit.title = problems.removable("/title", title, text::MAX_TITLE);
        read.edit.company = problems.removable("/company", company, text::MAX_TITLE);
        let nothing = email.is_none() && github.is_none() && phone.is_none();
        if nothing && read.edit.name.is_none() && read.common.id.is_none() && problems.is_none() {
            let message = "an address, a GitHub login, a phone number or a name is needed";
            problems.add("/email", "required", message.to_owned());
        }
        cells.finish(read)
    }

    /// A row of accounts.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn account(&self, row: &StringRecord) -> Result<AccountRow, Vec<Problem>> {
        let mut cells = self.cells(row)?;
        let mut read = AccountRow {
            common: cells.common(),
            ..AccountRow::default()
        };
        let name = cells.line("name");
        let (industry, stage) = (cells.line("industry"), cells.line("fundingStage"));
        let country = cells.get("country").map(str::to_owned);
        let (domain, org) = (cells.get("domain").map(values::host), cells.get("githubOrg"));
        let employees = cells.get("employees").map(|text| {
            let whole = values::decimal(text).and_then(|n| n.parse::<i64>().ok());
            whole.unwrap_or(-1)
        });
        let problems = &mut cells.problems;
        let edit = &mut read.edit;
        edit.name = problems.name("/name", name);
        edit.domain = problems.domain("/domain", domain);
        edit.github_org = problems.login("/githubOrg", org).map(Some);
        edit.employees = problems.employees("/employees", employees);
        edit.industry = problems.removable("/industry", industry, text::MAX_INDUSTRY);
        edit.country = problems.country("/country", country);
        edit.funding_stage = problems.removable("/fundingStage", stage, text::MAX_FUNDING_STAGE);
        if edit.name.is_none() && edit.domain.is_none() && read.common.id.is_none() && problems.is_none() {
            problems.add("/domain", "required", "a domain or a name is needed".to_owned());
        }
        cells.finish(read)
    }

    /// A row of deals.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn deal(&self, row: &StringRecord) -> Result<DealRow, Vec<Problem>> {
        let mut cells = self.cells(row)?;
        let mut read = DealRow {
            common: cells.common(),
            account: cells.account(),
            pipeline: cells.line("pipeline"),
            stage: cells.line("stage"),
            ..DealRow::default()
        };
        let (name, reason) = (cells.line("name"), cells.line("closeReason"));
        let (amount, currency) = (cells.get("amount"), cells.get("currency"));
        let (day, contacts) = (cells.get("expectedCloseOn"), cells.get("contactEmails"));
        let order = self.mapping.options.date_order;
        let problems = &mut cells.problems;
        read.name = problems.name("/name", name);
        read.close_reason = problems.removable("/closeReason", reason, 500).flatten();
        if let Some(text) = amount {
            read.amount = values::amount(text, currency);
            if read.amount.is_none() {
                let message = "an amount is a number with a currency, for example EUR 12.50";
                problems.add("/amount", "invalid_amount", message.to_owned());
            }
        }
        if let Some(text) = day {
            read.expected_close_on = values::day(text, order);
            if read.expected_close_on.is_none() {
                problems.add("/expectedCloseOn", "invalid_date", "it is no day".to_owned());
            }
        }
        if let Some(text) = contacts {
            let known: Option<Vec<String>> = values::list(&text.replace(',', ";"))
                .iter()
                .map(|one| checks::email(one))
                .collect();
            if known.is_none() {
                problems.add(
                    "/contactEmails",
                    "invalid_email",
                    "addresses stand between semicolons".to_owned(),
                );
            }
            read.contacts = known;
        }
        if read.name.is_none() && read.common.id.is_none() && problems.is_none() {
            problems.add("/name", "required", "a deal needs a name".to_owned());
        }
        cells.finish(read)
    }

    fn cells<'a>(&'a self, row: &'a StringRecord) -> Result<Cells<'a>, Vec<Problem>> {
        if row.len() > self.mapping.width() {
            let message = format!(
                "the row has {} cells, the header {}",
                row.len(),
                self.mapping.width()
            );
            return Err(vec![Problem::new("", "too_many_cells", message)]);
        }
        Ok(Cells {
            reader: self,
            row,
            problems: Problems::default(),
        })
    }
}

impl<'a> Cells<'a> {
    /// The cell of a field; empty ones say nothing.
    fn get(&self, field: &str) -> Option<&'a str> {
        self.at(self.reader.mapping.place(field)?)
    }

    fn at(&self, place: usize) -> Option<&'a str> {
        let cell = unescaped(self.row.get(place)?).trim();
        (!cell.is_empty()).then_some(cell)
    }

    /// The cell with its line breaks as spaces.
    fn line(&self, field: &str) -> Option<String> {
        let space = |c: char| if matches!(c, '\n' | '\r' | '\t') { ' ' } else { c };
        Some(self.get(field)?.chars().map(space).collect())
    }

    fn common(&mut self) -> Common {
        let mut common = Common::default();
        if let Some(id) = self.get("id") {
            common.id = self.problems.user("/id", Some(id)).flatten();
        }
        let owner = self.get("ownerId");
        common.extras.owner = self.problems.user("/ownerId", owner);
        if let Some(tags) = self.get("tags") {
            let names = values::list(tags).into_iter().map(Value::from).collect();
            common.extras.tags = self.problems.tags("/tags", Some(names));
        }
        let order = self.reader.mapping.options.date_order;
        for (key, place) in self.reader.mapping.own() {
            if let (Some(text), Some(field)) = (self.at(place), self.reader.own.get(key)) {
                let value = values::own_value(field, text, order);
                common.extras.custom.insert(key.to_owned(), value);
            }
        }
        common
    }

    /// The account that the row names: by id, else by domain, else by name.
    fn account(&mut self) -> Option<(AccountRef, &'static str)> {
        if let Some(id) = self.get("accountId") {
            let id = self.problems.user("/accountId", Some(id)).flatten()?;
            return Some((AccountRef::Id(id), "accountId"));
        }
        if let Some(host) = self.get("accountDomain").map(values::host) {
            let domain = self.problems.domain("/accountDomain", Some(host)).flatten()?;
            return Some((AccountRef::Domain(domain), "accountDomain"));
        }
        let name = self.line("accountName");
        let name = self.problems.name("/accountName", name)?;
        Some((AccountRef::Name(name), "accountName"))
    }

    fn finish<T>(self, read: T) -> Result<T, Vec<Problem>> {
        self.problems
            .unless(read)
            .map_err(|fields| fields.into_iter().map(Problem::from).collect())
    }
}
