//! A real mail server: aiosmtpd with a mailbox that fails on demand. `./dev test` fetches it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use test_kit::wait_for;

/// The server; ends when dropped.
pub struct Smtp {
    child: Option<Child>,
    pub folder: TempDir,
    pub port: u16,
    tls: bool,
}

impl Smtp {
    /// A server that demands STARTTLS.
    pub async fn start() -> Self {
        Self::with(true).await
    }

    /// A server that knows no TLS.
    pub async fn in_the_clear() -> Self {
        Self::with(false).await
    }

    async fn with(tls: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        std::fs::create_dir(folder.path().join("mails")).unwrap();
        let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        drop(taken);
        let mut server = Self {
            child: None,
            folder,
            port,
            tls,
        };
        server.run().await;
        server
    }

    /// Starts the process (again), on the same port.
    pub async fn run(&mut self) {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smtp");
        let mut command = Command::new("aiosmtpd");
        command
            .args([
                "-n",
                "-c",
                "mailbox.Mailbox",
                "-l",
                &format!("127.0.0.1:{}", self.port),
            ])
            .env("PYTHONPATH", own)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if self.tls {
            let file = |name: &str| self.folder.path().join(name);
            command.arg("--tlscert").arg(file("cert.pem"));
            command.arg("--tlskey").arg(file("key.pem"));
        }
        let child = command.arg(self.folder.path().join("mails")).spawn();
        self.child = Some(child.expect("aiosmtpd is not on the PATH: run `./dev test`, which fetches it"));
        let port = self.port;
        wait_for("the mail server", Duration::from_secs(30), async || {
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
    }

    /// Stops the process.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The settings of a gateway that sends by this server.
    pub fn settings(&self) -> Value {
        json!({"mail": {
            "transport": "smtp", "from": "DevSignal <no-reply@devsignal.example>", "links": "https://devsignal.example",
            "retry_secs": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
            "smtp": {"host": "127.0.0.1", "port": self.port, "tls": "starttls",
                     "ca_file": self.folder.path().join("cert.pem"), "timeout_ms": 5000},
        }})
    }

    /// The mails to an address so far, oldest first.
    pub fn mails(&self, to: &str) -> Vec<Mail> {
        let folder = std::fs::read_dir(self.folder.path().join("mails")).unwrap();
        let mut files: Vec<PathBuf> = folder.map(|f| f.unwrap().path()).collect();
        files.sort();
        let wanted = format!("-{to}.eml");
        files.retain(|f| f.file_name().unwrap().to_str().unwrap().ends_with(&wanted));
        files
            .iter()
            .map(|f| Mail(std::fs::read_to_string(f).unwrap()))
            .collect()
    }

    /// The mail number `n` (from 0) to an address.
    pub async fn mail(&self, to: &str, n: usize) -> Mail {
        let mut found = wait_for(
            &format!("mail {n} to {to}"),
            Duration::from_secs(30),
            async || {
                let mails = self.mails(to);
                (mails.len() > n).then_some(mails)
            },
        )
        .await;
        found.swap_remove(n)
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A mail as it came.
pub struct Mail(pub String);

impl Mail {
    pub fn header(&self, name: &str) -> String {
        let head = self.0.split("\r\n\r\n").next().unwrap();
        let found = head
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}: ")));
        found.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
    }

    /// The token behind `#word=` of its link.
    pub fn token(&self, word: &str) -> String {
        // Quoted-printable: soft line ends, and `=` written out.
        let plain = self.0.replace("=\r\n", "").replace("=3D", "=");
        let start = plain
            .find(&format!("#{word}="))
            .unwrap_or_else(|| panic!("no {word} in {plain}"));
        let rest = &plain[start + word.len() + 2..];
        rest.chars()
            .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
            .collect()
    }
}
