//! Who may come to the broker and what each may say: the accounts and logins of its configuration. Must not read
//! anything: values in, text out.

use std::fmt::Write as _;

use crate::StackError;

/// Accounts: the server's own, ours, and the partners'.
const SYSTEM: &str = "SYS";
const OWN: &str = "DEVSIGNAL";
const PARTNERS: &str = "PARTNERS";

/// The user who may say everything in our account: for people and their tools.
pub(crate) const OPERATOR: &str = "devsignal";
/// The user of the system account.
pub(crate) const SYSTEM_USER: &str = "system";

/// A password, or where the broker finds it.
#[derive(Clone)]
pub enum Password {
    /// The password: letters and digits.
    Text(String),
    /// The broker's environment variable of this name.
    Variable(String),
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text"),
            Self::Variable(name) => write!(f, "Variable({name})"),
        }
    }
}

/// A login of our account that may say and hear what it says here, and nothing else.
#[derive(Debug, Clone)]
pub struct NatsUser {
    /// Its name.
    pub name: String,
    /// Its password.
    pub password: Password,
    /// Subjects that it may publish.
    pub publish: Vec<String>,
    /// Subjects that it may subscribe to.
    pub subscribe: Vec<String>,
    /// Whether it may answer what it is asked, wherever to.
    pub answers: bool,
}

/// Partners have an account of their own and reach nothing but consumers of one stream.
#[derive(Debug, Clone)]
pub struct PartnerAccess {
    /// Public account key (`A…`) of who answers for partners.
    pub issuer: String,
    /// The stream's name; `*` for any, where tests share a server.
    pub stream: String,
}

/// All who may come.
#[derive(Debug, Clone)]
pub struct NatsAccess<'a> {
    /// Of the user `devsignal`, who may say everything in our account.
    pub operator: Password,
    /// Of the user `system` of the system account.
    pub system: Password,
    /// The services.
    pub users: &'a [NatsUser],
    /// Lets partners in, whom somebody else vouches for.
    pub partners: Option<&'a PartnerAccess>,
}

impl NatsAccess<'_> {
    /// The blocks `accounts` and `authorization` of a broker's configuration.
    ///
    /// # Errors
    /// [`StackError::Setting`] for a value that could break out of its place.
    pub fn render(&self) -> Result<String, StackError> {
        let (system, operator) = (secret(&self.system)?, secret(&self.operator)?);
        let mut users = format!("      {{user: {OPERATOR}, password: {operator}}}\n");
        for user in self.users {
            users.push_str(&login(user)?);
        }
        let (exports, partners, callout) = match self.partners {
            Some(partners) => self.with_partners(partners)?,
            None => Default::default(),
        };
        Ok(format!(
            "\
# Everybody has a password; there is no anonymous user.
system_account: {SYSTEM}
accounts {{
  {SYSTEM} {{
    users: [{{user: {SYSTEM_USER}, password: {system}}}]
  }}
  {OWN} {{
    jetstream: enabled
    users: [
{users}    ]
{exports}  }}
{partners}}}
{callout}"
        ))
    }

    /// Partners are in an account of their own: what they ask of JetStream crosses into ours only by the three exports,
    /// and what is answered crosses back under names that the server makes, so that no reply reaches a subject of ours.
    /// Who they are, and which consumers each may use, is asked of the gateway.
    fn with_partners(&self, partners: &PartnerAccess) -> Result<(String, String, String), StackError> {
        let PartnerAccess { issuer, stream } = partners;
        plain("issuer", issuer, "")?;
        plain("stream", stream, "*_-")?;
        // `$JS.API.>` exists in every account and would answer too, that JetStream is not there: partners ask under a
        // prefix of their own, which their clients know as a domain.
        let services = [
            (
                format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
                ", response_type: stream",
            ),
            (format!("$JS.API.CONSUMER.INFO.{stream}.*"), ""),
            (format!("$JS.ACK.{stream}.>"), ""),
        ];
        let exports: String = services
            .iter()
            .map(|(subject, more)| {
                format!("      {{service: \"{subject}\"{more}, accounts: [{PARTNERS}]}}\n")
            })
            .collect();
        let imports: String = services
            .iter()
            .map(|(subject, _)| {
                let to = subject.replace("$JS.API.", &format!("$JS.{OWN}.API."));
                format!("      {{service: {{account: {OWN}, subject: \"{subject}\"}}, to: \"{to}\"}}\n")
            })
            .collect();
        let ours = self.users.iter().map(|user| user.name.as_str());
        let ours: Vec<&str> = [OPERATOR, SYSTEM_USER].into_iter().chain(ours).collect();
        Ok((
            format!("    exports: [\n{exports}    ]\n"),
            format!("  {PARTNERS} {{\n    imports: [\n{imports}    ]\n  }}\n"),
            format!(
                "
# Everybody but our own users is asked of the gateway.
authorization {{
  timeout: 5
  auth_callout {{
    issuer: {issuer}
    account: {OWN}
    auth_users: [{}]
  }}
}}
",
                ours.join(", ")
            ),
        ))
    }
}

fn login(user: &NatsUser) -> Result<String, StackError> {
    plain("user", &user.name, "-")?;
    let password = secret(&user.password)?;
    let list = |name: &str, subjects: &[String]| {
        let mut text = format!("          {name}: {{allow: [\n");
        for subject in subjects {
            plain(name, subject, "$*>._-")?;
            // Writing to a string cannot fail.
            let _ = writeln!(text, "            \"{subject}\"");
        }
        text.push_str("          ]}\n");
        Ok::<_, StackError>(text)
    };
    let (publish, subscribe) = (
        list("publish", &user.publish)?,
        list("subscribe", &user.subscribe)?,
    );
    let answers = if user.answers {
        "          allow_responses: true\n"
    } else {
        ""
    };
    let name = &user.name;
    Ok(format!(
        "      {{
        user: {name}, password: {password}
        permissions: {{
{publish}{subscribe}{answers}        }}
      }}
"
    ))
}

fn secret(password: &Password) -> Result<String, StackError> {
    match password {
        Password::Text(text) => {
            plain("password", text, "")?;
            Ok(format!("\"{text}\""))
        }
        Password::Variable(name) => {
            plain("variable", name, "_")?;
            Ok(format!("${name}"))
        }
    }
}

/// Only letters, digits and `more`, so that no value breaks out of its place.
fn plain(name: &str, text: &str, more: &str) -> Result<(), StackError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
    if text.chars().all(fits) && !text.is_empty() {
        return Ok(());
    }
    Err(StackError::Setting {
        name: name.to_owned(),
        reason: "only letters and digits are allowed",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access<'a>(users: &'a [NatsUser], partners: Option<&'a PartnerAccess>) -> NatsAccess<'a> {
        NatsAccess {
            operator: Password::Text("o".into()),
            system: Password::Variable("NATS_SYSTEM".into()),
            users,
            partners,
        }
    }

    fn user(name: &str, password: Password, subject: &str) -> NatsUser {
        NatsUser {
            name: name.into(),
            password,
            publish: vec![subject.into()],
            subscribe: vec!["_INBOX_a.>".into()],
            answers: false,
        }
    }

    #[test]
    fn no_value_can_smuggle_in_a_setting() {
        for (issuer, stream) in [("A }", "EVENTS"), ("", "EVENTS"), ("AB", "E\"\n"), ("AB", "E >")] {
            let partners = PartnerAccess {
                issuer: issuer.into(),
                stream: stream.into(),
            };
            let text = access(&[], Some(&partners)).render();
            assert!(
                matches!(text, Err(StackError::Setting { .. })),
                "{issuer:?} {stream:?}"
            );
        }
        let text = |text: &str| Password::Text(text.to_owned());
        for bad in [
            user("a b", text("p"), "evt.>"),
            user("a", text("p\""), "evt.>"),
            user("a", text(""), "evt.>"),
            user("a", Password::Variable("A B".into()), "evt.>"),
            user("a", text("p"), "evt.\"]"),
        ] {
            assert!(
                access(std::slice::from_ref(&bad), None).render().is_err(),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn users_have_their_subjects_and_partners_an_account() {
        let users = [user(
            "crm",
            Password::Variable("NATS_CRM".into()),
            "evt.*.deal.created",
        )];
        let alone = access(&users, None).render().unwrap();
        assert!(alone.contains("user: crm, password: $NATS_CRM"), "{alone}");
        assert!(alone.contains("\"evt.*.deal.created\""), "{alone}");
        assert!(
            !alone.contains("auth_callout") && !alone.contains(PARTNERS),
            "{alone}"
        );
        let partners = PartnerAccess {
            issuer: "AB".into(),
            stream: "EVENTS".into(),
        };
        let both = access(&users, Some(&partners)).render().unwrap();
        assert!(both.contains("auth_users: [devsignal, system, crm]"), "{both}");
    }
}
