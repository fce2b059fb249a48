//! The texts of mails: a subject, a plain and an HTML form of each, filled by minijinja, which escapes what goes into HTML.

use minijinja::{Environment, UndefinedBehavior};
use serde_json::Value;

/// A text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Template {
    /// Somebody is invited. Facts: `organization`, `invitationId`.
    Invitation,
    /// Whether an address is theirs. Facts: `name`.
    VerifyEmail,
    /// A forgotten password; whether there is somebody with the address is seen when it is sent. No facts.
    PasswordReset,
    /// The password was changed. Facts: `name`.
    PasswordChanged,
    /// A webhook endpoint was disabled. Facts: `organization`, `url`, `reason`, `endpointId`.
    EndpointDisabled,
}

/// Each template's name, subject, text and HTML.
const TEXTS: [(Template, &str, &str, &str, &str); 5] = [
    (
        Template::Invitation,
        "invitation",
        "You are invited to {{ organization }} on DevSignal",
        include_str!("../../assets/mail/invitation.txt"),
        include_str!("../../assets/mail/invitation.html"),
    ),
    (
        Template::VerifyEmail,
        "verify_email",
        "Confirm your e-mail address",
        include_str!("../../assets/mail/verify_email.txt"),
        include_str!("../../assets/mail/verify_email.html"),
    ),
    (
        Template::PasswordReset,
        "password_reset",
        "Set a new password",
        include_str!("../../assets/mail/password_reset.txt"),
        include_str!("../../assets/mail/password_reset.html"),
    ),
    (
        Template::PasswordChanged,
        "password_changed",
        "Your password was changed",
        include_str!("../../assets/mail/password_changed.txt"),
        include_str!("../../assets/mail/password_changed.html"),
    ),
    (
        Template::EndpointDisabled,
        "endpoint_disabled",
        "A webhook endpoint of {{ organization }} was disabled",
        include_str!("../../assets/mail/endpoint_disabled.txt"),
        include_str!("../../assets/mail/endpoint_disabled.html"),
    ),
];
const FRAME: &str = include_str!("../../assets/mail/frame.html");

impl Template {
    /// How it is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        TEXTS.iter().find(|t| t.0 == self).map_or("", |t| t.1)
    }

    /// The template of a stored name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TEXTS.iter().find(|t| t.1 == name).map(|t| t.0)
    }
}

/// A mail's texts.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// All templates, read once.
#[derive(Debug)]
pub(super) struct Templates(Environment<'static>);

impl Templates {
    /// Reads them.
    pub(super) fn new() -> Result<Self, minijinja::Error> {
        let mut environment = Environment::new();
        // A fact that is missing is a mistake of ours, not an empty place in somebody's mail.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_template("frame.html", FRAME)?;
        for (_, name, subject, text, html) in TEXTS {
            environment.add_template_owned(format!("{name}.subject.txt"), subject)?;
            environment.add_template_owned(format!("{name}.txt"), text)?;
            environment.add_template_owned(format!("{name}.html"), html)?;
        }
        Ok(Self(environment))
    }

    /// Fills one. `link` is where the mail leads to.
    pub(super) fn render(
        &self,
        template: Template,
        facts: &Value,
        link: &str,
    ) -> Result<Rendered, minijinja::Error> {
        let mut facts = facts.clone();
        facts["link"] = Value::from(link);
        let fill = |suffix: &str| {
            let name = format!("{}.{suffix}", template.name());
            self.0
                .get_template(&name)?
                .render(minijinja::value::Serde(&facts))
        };
        Ok(Rendered {
            subject: fill("subject.txt")?
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
            text: fill("txt")? + "\n",
            html: fill("html")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_template_is_filled_and_html_is_escaped() {
        let templates = Templates::new().unwrap();
        let hostile = "<b>x</b>\r\nBcc: eve@example.com {{7*7}}";
        let facts = json!({"organization": hostile, "name": hostile, "url": hostile, "reason": hostile,
                           "invitationId": "i", "endpointId": "e"});
        for (template, ..) in TEXTS {
            let made = templates
                .render(template, &facts, "https://x.example/account#reset=t&u")
                .unwrap();
            assert!(!made.subject.contains(['\r', '\n']), "{}", made.subject);
            assert!(
                !made.html.contains("<b>") && !made.html.contains("49"),
                "{}",
                made.html
            );
            assert!(made.text.ends_with('\n') && made.html.contains("</html>"));
            assert_eq!(Template::named(template.name()), Some(template));
        }
        let missing = templates.render(Template::VerifyEmail, &json!({}), "");
        assert!(missing.is_err(), "a fact that is missing is told");
    }
}
