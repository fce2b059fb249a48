//! Where a file comes from, as its header tells, and what its columns probably are.
//!
//! The headers of HubSpot, Salesforce and Pipedrive are those that their exports bear, as many independent files show; none of the
//! three publishes them.

use std::collections::BTreeMap;

use crate::domain::custom::Definition;
use crate::domain::extras::Object;

/// Where a file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Our own export.
    Devsignal,
    /// HubSpot's.
    Hubspot,
    /// Salesforce's: Data Loader (API names) or a report (labels).
    Salesforce,
    /// Pipedrive's.
    Pipedrive,
    /// Somewhere else.
    Unknown,
}

impl Layout {
    /// The name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Devsignal => "devsignal",
            Self::Hubspot => "hubspot",
            Self::Salesforce => "salesforce",
            Self::Pipedrive => "pipedrive",
            Self::Unknown => "unknown",
        }
    }

    /// The layout of a header.
    #[must_use]
    pub fn of(header: &[String]) -> Self {
        let has = |name: &str| header.iter().any(|column| column.trim() == name);
        let begins = |stem: &str| header.iter().any(|column| column.trim().starts_with(stem));
        let hubspot = [
            "Lifecycle Stage",
            "Lead Status",
            "Contact owner",
            "Company owner",
            "Deal owner",
            "Create Date",
            "Associated Company IDs",
            "Associated Company",
            "Company Domain Name",
            "Deal Stage",
        ];
        if has("id") && has("createdAt") && has("version") {
            Self::Devsignal
        } else if begins("Record ID") && hubspot.iter().any(|name| has(name)) {
            Self::Hubspot
        } else if begins("Person - ") || begins("Organization - ") || begins("Deal - ") {
            Self::Pipedrive
        } else if is_salesforce(&has) {
            Self::Salesforce
        } else {
            Self::Unknown
        }
    }
}

fn is_salesforce(has: &dyn Fn(&str) -> bool) -> bool {
    let api = [
        "IsDeleted",
        "OwnerId",
        "MasterRecordId",
        "AccountId",
        "LastModifiedById",
    ];
    let labels = [
        "Mailing State/Province",
        "Billing State/Province",
        "Account Owner",
        "Opportunity Name",
        "Account Name",
    ];
    let api = has("Id") && api.iter().any(|name| has(name));
    api || labels.iter().filter(|name| has(name)).count() >= 2 || (has("Account Name") && has("Last Name"))
}

/// Names of columns, in small letters and digits only, with the field each stands for.
const CONTACT: &[(&str, &str)] = &[
    ("email", "email"),
    ("emailaddress", "email"),
    ("mail", "email"),
    ("personemail", "email"),
    ("name", "name"),
    ("fullname", "name"),
    ("personname", "name"),
    ("firstname", "firstName"),
    ("givenname", "firstName"),
    ("lastname", "lastName"),
    ("surname", "lastName"),
    ("familyname", "lastName"),
    ("github", "github"),
    ("githublogin", "github"),
    ("githubusername", "github"),
    ("phone", "phone"),
    ("phonenumber", "phone"),
    ("personphone", "phone"),
    ("title", "title"),
    ("jobtitle", "title"),
    ("role", "title"),
    ("company", "company"),
    ("companyname", "company"),
    ("associatedcompany", "company"),
    ("personorganization", "company"),
    ("organizationname", "company"),
    ("accountname", "accountName"),
    ("accountdomain", "accountDomain"),
    ("companydomain", "accountDomain"),
    ("companydomainname", "accountDomain"),
    ("tags", "tags"),
    ("labels", "tags"),
];

const ACCOUNT: &[(&str, &str)] = &[
    ("name", "name"),
    ("companyname", "name"),
    ("accountname", "name"),
    ("company", "name"),
    ("organizationname", "name"),
    ("domain", "domain"),
    ("companydomainname", "domain"),
    ("companydomain", "domain"),
    ("website", "domain"),
    ("websiteurl", "domain"),
    ("organizationwebsite", "domain"),
    ("githuborg", "githubOrg"),
    ("employees", "employees"),
    ("numberofemployees", "employees"),
    ("industry", "industry"),
    ("country", "country"),
    ("fundingstage", "fundingStage"),
    ("tags", "tags"),
    ("labels", "tags"),
];

const DEAL: &[(&str, &str)] = &[
    ("name", "name"),
    ("dealname", "name"),
    ("dealtitle", "name"),
    ("opportunityname", "name"),
    ("stage", "stage"),
    ("dealstage", "stage"),
    ("stagename", "stage"),
    ("pipeline", "pipeline"),
    ("dealpipeline", "pipeline"),
    ("amount", "amount"),
    ("dealvalue", "amount"),
    ("value", "amount"),
    ("currency", "currency"),
    ("dealcurrencyofvalue", "currency"),
    ("currencyisocode", "currency"),
    ("closedate", "expectedCloseOn"),
    ("expectedcloseon", "expectedCloseOn"),
    ("dealexpectedclosedate", "expectedCloseOn"),
    ("closereason", "closeReason"),
    ("closedlostreason", "closeReason"),
    ("accountdomain", "accountDomain"),
    ("companydomain", "accountDomain"),
    ("accountname", "accountName"),
    ("associatedcompany", "accountName"),
    ("dealorganization", "accountName"),
    ("contactemails", "contactEmails"),
    ("contactemail", "contactEmails"),
    ("tags", "tags"),
    ("labels", "tags"),
];

/// Fields besides own ones.
#[must_use]
pub fn fields(object: Object) -> &'static [&'static str] {
    match object {
        Object::Contact => &[
            "id",
            "email",
            "name",
            "firstName",
            "lastName",
            "github",
            "phone",
            "title",
            "company",
            "accountId",
            "accountDomain",
            "accountName",
            "ownerId",
            "tags",
        ],
        Object::Account => &[
            "id",
            "name",
            "domain",
            "githubOrg",
            "employees",
            "industry",
            "country",
            "fundingStage",
            "ownerId",
            "tags",
        ],
        Object::Deal => &[
            "id",
            "name",
            "accountId",
            "accountDomain",
            "accountName",
            "contactEmails",
            "pipeline",
            "stage",
            "amount",
            "currency",
            "expectedCloseOn",
            "closeReason",
            "ownerId",
            "tags",
        ],
    }
}

/// Only small letters and digits.
#[must_use]
pub fn plain(name: &str) -> String {
    name.chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// What the columns probably are: each field once, the first column that fits.
#[must_use]
pub fn propose(
    object: Object,
    layout: Layout,
    header: &[String],
    own: &BTreeMap<String, Definition>,
) -> Vec<Option<String>> {
    let synonyms = match object {
        Object::Contact => CONTACT,
        Object::Account => ACCOUNT,
        Object::Deal => DEAL,
    };
    let mut taken: Vec<String> = Vec::new();
    let mut propose = |column: &String| {
        let field = if layout == Layout::Devsignal {
            own_name(object, column, own)
        } else {
            let plain = plain(column);
            let known = synonyms.iter().find(|(name, _)| *name == plain);
            known
                .map(|(_, field)| (*field).to_owned())
                .or_else(|| by_own_field(column, own))
        };
        // A domain leads to the account in any organization, an id in one only.
        let by_domain = header.iter().any(|name| name == "accountDomain");
        let field = field.filter(|field| !(field == "accountId" && by_domain));
        let field = field.filter(|field| !taken.contains(field))?;
        taken.push(field.clone());
        Some(field)
    };
    header.iter().map(&mut propose).collect()
}

/// In a file of ours the columns are the fields.
fn own_name(object: Object, column: &str, own: &BTreeMap<String, Definition>) -> Option<String> {
    if fields(object).contains(&column) {
        return Some(column.to_owned());
    }
    let key = column.strip_prefix("custom.")?;
    own.contains_key(key).then(|| column.to_owned())
}

fn by_own_field(column: &str, own: &BTreeMap<String, Definition>) -> Option<String> {
    let wanted = plain(column.strip_prefix("custom.").unwrap_or(column));
    own.values()
        .find(|field| plain(&field.key) == wanted || plain(&field.label) == wanted)
        .map(|field| format!("custom.{}", field.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(text: &str) -> Vec<String> {
        text.split(", ").map(str::to_owned).collect()
    }

    fn mapped(object: Object, text: &str) -> (Layout, Vec<String>) {
        let header = header(text);
        let layout = Layout::of(&header);
        let fields = propose(object, layout, &header, &BTreeMap::new());
        (
            layout,
            fields.into_iter().map(Option::unwrap_or_default).collect(),
        )
    }

    #[test]
    fn hubspots_columns_are_known() {
        let (layout, fields) = mapped(
            Object::Contact,
            "Record ID, First Name, Last Name, Email, Phone Number, Job Title, Company Name, Contact owner, Lead Status, Create Date",
        );
        assert_eq!(layout, Layout::Hubspot);
        assert_eq!(
            fields,
            [
                "",
                "firstName",
                "lastName",
                "email",
                "phone",
                "title",
                "company",
                "",
                "",
                ""
            ]
        );
        let (layout, fields) = mapped(
            Object::Account,
            "Record ID, Company name, Company Domain Name, Company owner, Industry, Country/Region, Create Date",
        );
        assert_eq!(layout, Layout::Hubspot);
        assert_eq!(fields, ["", "name", "domain", "", "industry", "", ""]);
        let (layout, fields) = mapped(
            Object::Deal,
            "Record ID - Deal, Deal Name, Deal Stage, Pipeline, Amount, Close Date, Deal owner, Associated Company",
        );
        assert_eq!(layout, Layout::Hubspot);
        assert_eq!(
            fields,
            [
                "",
                "name",
                "stage",
                "pipeline",
                "amount",
                "expectedCloseOn",
                "",
                "accountName"
            ]
        );
    }

    #[test]
    fn salesforces_columns_are_known() {
        let (layout, fields) = mapped(
            Object::Contact,
            "Id, IsDeleted, AccountId, LastName, FirstName, Email, Title, OwnerId, CreatedDate",
        );
        assert_eq!(layout, Layout::Salesforce);
        assert_eq!(
            fields,
            ["", "", "", "lastName", "firstName", "email", "title", "", ""]
        );
        let (layout, fields) = mapped(
            Object::Contact,
            "First Name, Last Name, Account Name, Mailing State/Province, Email",
        );
        assert_eq!(layout, Layout::Salesforce);
        assert_eq!(fields, ["firstName", "lastName", "accountName", "", "email"]);
        let (layout, fields) = mapped(
            Object::Account,
            "Id, Name, OwnerId, Website, NumberOfEmployees, BillingCity",
        );
        assert_eq!(layout, Layout::Salesforce);
        assert_eq!(fields, ["", "name", "", "domain", "employees", ""]);
    }

    #[test]
    fn other_files_are_mapped_by_name() {
        let (layout, fields) = mapped(
            Object::Contact,
            "Person - ID, Person - Name, Person - Email, Organization - Name",
        );
        assert_eq!(layout, Layout::Pipedrive);
        assert_eq!(fields, ["", "name", "email", "company"]);
        let (layout, fields) = mapped(Object::Contact, "id, e-mail, E-Mail, whatever");
        assert_eq!(layout, Layout::Unknown);
        assert_eq!(fields, ["", "email", "", ""]);
        let (layout, fields) = mapped(
            Object::Contact,
            "id, email, accountDomain, custom.gone, createdAt, version",
        );
        assert_eq!(layout, Layout::Devsignal);
        assert_eq!(fields, ["id", "email", "accountDomain", "", "", ""]);
    }
}
