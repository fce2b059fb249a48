//! A name server that answers as a test wants, over UDP and TCP.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};

/// What is answered to one question.
#[derive(Clone)]
pub enum Reply {
    /// These addresses; those of the other family are left out.
    Addresses(Vec<IpAddr>),
    /// An alias, and what it stands for.
    Alias(&'static str, Vec<IpAddr>),
    NoSuchName,
    ServFail,
    /// Nothing at all.
    Silence,
    After(Duration, Box<Reply>),
    /// Bytes that are no message.
    Garbage,
}

type Rule = Arc<dyn Fn(&str, usize) -> Reply + Send + Sync>;

/// The server; questions are counted.
pub struct NameServer {
    pub at: SocketAddr,
    questions: Arc<AtomicUsize>,
}

impl NameServer {
    /// `rule` gets the name (without a final dot) and how many questions for addresses came before.
    pub async fn start(rule: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        let rule: Rule = Arc::new(rule);
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let at = udp.local_addr().unwrap();
        let questions = Arc::new(AtomicUsize::new(0));
        tokio::spawn(serve_udp(Arc::new(udp), rule.clone(), questions.clone()));
        tokio::spawn(serve_tcp(tcp, rule, questions.clone()));
        Self { at, questions }
    }

    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, rule: Rule, questions: Arc<AtomicUsize>) {
    let mut buffer = [0_u8; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let (question, rule, questions, socket) = (
            buffer[..length].to_vec(),
            rule.clone(),
            questions.clone(),
            socket.clone(),
        );
        tokio::spawn(async move {
            if let Some(mut answer) = answer(&question, &rule, &questions).await {
                if answer.len() > 1_200 {
                    let mut short = Message::from_vec(&answer).unwrap().truncate();
                    short.metadata.truncation = true;
                    answer = short.to_vec().unwrap();
                }
                let _ = socket.send_to(&answer, from).await;
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, rule: Rule, questions: Arc<AtomicUsize>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let (rule, questions) = (rule.clone(), questions.clone());
        tokio::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut question = vec![0; usize::from(length)];
                if stream.read_exact(&mut question).await.is_err() {
                    return;
                }
                if let Some(answer) = answer(&question, &rule, &questions).await {
                    let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
                    let _ = stream.write_all(&[&length[..], &answer].concat()).await;
                }
            }
        });
    }
}

async fn answer(question: &[u8], rule: &Rule, questions: &AtomicUsize) -> Option<Vec<u8>> {
    let asked = Message::from_vec(question).ok()?;
    let query = asked.queries.first()?.clone();
    let name = query.name().to_string();
    // Both families are asked for one after the other or at once: they are one question here.
    let before = match query.query_type() {
        RecordType::A => questions.fetch_add(1, Ordering::SeqCst),
        _ => questions.load(Ordering::SeqCst).saturating_sub(1),
    };
    let mut reply = rule(name.trim_end_matches('.'), before);
    while let Reply::After(delay, then) = reply {
        tokio::time::sleep(delay).await;
        reply = *then;
    }
    let mut message = Message::response(asked.metadata.id, OpCode::Query);
    message.add_query(query.clone());
    message.metadata.recursion_available = true;
    match reply {
        Reply::Addresses(addresses) => records(&mut message, query.name(), query.query_type(), &addresses),
        Reply::Alias(to, addresses) => {
            let to = Name::from_ascii(to).unwrap();
            message.add_answer(Record::from_rdata(
                query.name().clone(),
                0,
                RData::CNAME(CNAME(to.clone())),
            ));
            records(&mut message, &to, query.query_type(), &addresses);
        }
        Reply::NoSuchName => message.metadata.response_code = ResponseCode::NXDomain,
        Reply::ServFail => message.metadata.response_code = ResponseCode::ServFail,
        Reply::Garbage => return Some(vec![0xff; 7]),
        Reply::Silence | Reply::After(..) => return None,
    }
    Some(message.to_vec().unwrap())
}

fn records(message: &mut Message, name: &Name, family: RecordType, addresses: &[IpAddr]) {
    for address in addresses {
        let data = match (address, family) {
            (IpAddr::V4(v4), RecordType::A) => RData::A(A(*v4)),
            (IpAddr::V6(v6), RecordType::AAAA) => RData::AAAA(AAAA(*v6)),
            _ => continue,
        };
        message.add_answer(Record::from_rdata(name.clone(), 0, data));
    }
}
