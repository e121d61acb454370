//! An attacker, for one's own plant and nothing else: what detection and guards are tried with.
//!
//! A drill goes against [`Own`], the addresses at which this very process serves a simulated plant, and only where they
//! are loopback ones; everything else is refused before a socket is opened. Each is bounded in requests and in time. It comes
//! from an address of its own within 127.0.0.0/8, so that it is a client that nobody has seen before.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use port502_wire::UnitId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::running::Own;

/// Requests of one drill, at most.
pub const REQUESTS_MAX: u64 = 20_000;

/// How long a drill takes, at most.
pub const DRILL_MAX: Duration = Duration::from_secs(20);

/// Connections of a drill at once.
pub const CONNECTIONS_MAX: usize = 16;

/// Writes in an attacker's list, at most.
pub const WRITES_MAX: usize = 1_000;

/// Where a drill comes from.
pub const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 66, 6, 6);

/// Longer than any simulated device needs; a guard that keeps silent costs no more.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// What an attacker does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Drill {
    /// One write that harms, and no more.
    RogueWrite,
    /// As the malware did to a heating company in 2024: reads with function 03, then writes with 06 and 16, from a list.
    FrostyGoop,
    /// Reads address after address, to learn the map.
    RegisterWalk,
    /// Tries every function code.
    FunctionEnumeration,
    /// Asks every unit id.
    UnitSweep,
    /// Asks as fast as it can on many connections.
    Flood,
    /// Sends the bytes of an operator's write again.
    Replay,
    /// Holds connections with requests that come byte by byte and never end.
    SlowDrip,
}

impl Drill {
    /// Each with its name and what it does.
    pub const ALL: [(&'static str, Drill, &'static str); 8] = [
        ("rogue-write", Drill::RogueWrite, "one write that harms"),
        ("frostygoop", Drill::FrostyGoop, "function 03 reads, then 06 and 16 writes from a list"),
        ("register-walk", Drill::RegisterWalk, "reads address after address"),
        ("function-enumeration", Drill::FunctionEnumeration, "every function code"),
        ("unit-sweep", Drill::UnitSweep, "every unit id"),
        ("flood", Drill::Flood, "as many requests as go through"),
        ("replay", Drill::Replay, "an operator's write, sent again"),
        ("slow-drip", Drill::SlowDrip, "requests that never end"),
    ];

    /// The drill of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Drill> {
        Drill::ALL.iter().find(|(word, ..)| *word == name).map(|(_, drill, _)| *drill)
    }

    /// As it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        Drill::ALL.iter().find(|(_, drill, _)| *drill == self).map_or("", |(name, ..)| name)
    }
}

/// A device that is attacked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Aim {
    /// Where it is.
    pub address: SocketAddr,
    /// Under which it answers.
    pub unit: UnitId,
}

/// A write that an attacker has in its list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// Whom.
    pub unit: UnitId,
    /// 5, 6 or 16.
    pub function: u8,
    /// Where.
    pub address: u16,
    /// What; of a coil 0 or 1.
    pub values: Vec<u16>,
}

impl Write {
    fn pdu(&self) -> Vec<u8> {
        let address = self.address.to_be_bytes();
        let first = self.values.first().copied().unwrap_or_default();
        match self.function {
            5 => [&[5][..], &address, &[if first == 0 { 0 } else { 0xFF }, 0]].concat(),
            16 => {
                let values: Vec<u8> =
                    self.values.iter().take(123).flat_map(|value| value.to_be_bytes()).collect();
                let count = u8::try_from(values.len()).unwrap_or(u8::MAX);
                [&[16][..], &address, &[0, count / 2, count], &values].concat()
            }
            _ => [&[6][..], &address, &first.to_be_bytes()].concat(),
        }
    }
}

/// A row of an attacker's list, as it is written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    unit: u8,
    function: u8,
    address: u16,
    values: Vec<u16>,
    /// For people.
    #[serde(default, rename = "note")]
    _note: String,
}

/// What is wrong with an attacker's list.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// Not the JSON that is wanted.
    #[error("{0}; want [{{ \"unit\": 3, \"function\": 6, \"address\": 11, \"values\": [0] }}, ...]")]
    Json(#[from] serde_json::Error),
    /// A row that is no write.
    #[error("row {row}: {what}")]
    Row {
        /// From 1.
        row: usize,
        /// What, and what to try.
        what: &'static str,
    },
}

/// Reads an attacker's list: JSON, one object a write.
///
/// # Errors
/// Text that is no such list; functions other than 5, 6 and 16; no values, or too many.
pub fn writes(text: &str) -> Result<Vec<Write>, ListError> {
    let rows: Vec<Row> = serde_json::from_str(text)?;
    if rows.len() > WRITES_MAX {
        return Err(ListError::Row {
            row: WRITES_MAX + 1,
            what: "more than 1000 writes; cut the list in two",
        });
    }
    let check = |(at, row): (usize, Row)| {
        let what = match (row.function, row.values.len()) {
            (5 | 6, 1) | (16, 1..=123) => None,
            (5 | 6, _) => Some("functions 5 and 6 write one value"),
            (16, _) => Some("function 16 writes 1 to 123 values"),
            _ => Some("want function 5, 6 or 16"),
        };
        match what {
            Some(what) => Err(ListError::Row { row: at + 1, what }),
            None => Ok(Write {
                unit: UnitId(row.unit),
                function: row.function,
                address: row.address,
                values: row.values,
            }),
        }
    };
    rows.into_iter().enumerate().map(check).collect()
}

/// What a drill came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Connections that were made.
    pub connections: u64,
    /// Requests that were sent, whole or not.
    pub requests: u64,
    /// Those that were done.
    pub done: u64,
    /// Those that were refused with an exception.
    pub refused: u64,
    /// Those that nobody answered.
    pub unanswered: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { connections, requests, done, refused, unanswered } = self;
        let s = |count: u64| if count == 1 { "" } else { "s" };
        write!(f, "{requests} request{} on {connections} connection{}: ", s(*requests), s(*connections))?;
        write!(f, "{done} done, {refused} refused, {unanswered} unanswered")
    }
}

/// Why a drill did not take place, or ended early.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// Not an address of a plant of this process, or not a loopback one.
    #[error("{address} is not the plant of this demo on this machine: a drill goes against nothing else")]
    NotOurs {
        /// What should have been attacked.
        address: SocketAddr,
    },
    /// There is nothing to attack.
    #[error("the plant has no device for this drill")]
    Nothing,
    /// The socket failed.
    #[error("{address}: {source}")]
    Io {
        /// Where.
        address: SocketAddr,
        /// The system's.
        source: io::Error,
    },
}

/// Carries out a drill against one's own plant. `writes` is the attacker's list; the first does the most harm.
///
/// # Errors
/// An address that is not one's own: then nothing has been sent. A plant that cannot be connected to.
pub async fn run(drill: Drill, own: &Own, aims: &[Aim], writes: &[Write]) -> Result<Report, DrillError> {
    // All of them, before anything is sent to any.
    if let Some(aim) = aims.iter().find(|aim| !own.is_own(aim.address)) {
        return Err(DrillError::NotOurs { address: aim.address });
    }
    let mut campaign = Campaign {
        aims,
        writes: writes.get(..writes.len().min(WRITES_MAX)).unwrap_or_default(),
        until: Instant::now() + DRILL_MAX,
        report: Report::default(),
    };
    match drill {
        Drill::RogueWrite => campaign.rogue_write().await?,
        Drill::FrostyGoop => campaign.frostygoop().await?,
        Drill::RegisterWalk => campaign.register_walk().await?,
        Drill::FunctionEnumeration => campaign.function_enumeration().await?,
        Drill::UnitSweep => campaign.unit_sweep().await?,
        Drill::Flood => campaign.flood().await?,
        Drill::Replay => campaign.replay().await?,
        Drill::SlowDrip => campaign.slow_drip().await?,
    }
    Ok(campaign.report)
}

/// A drill under way.
struct Campaign<'a> {
    aims: &'a [Aim],
    writes: &'a [Write],
    until: Instant,
    report: Report,
}

/// A connection of the attacker.
struct Connection {
    stream: TcpStream,
    transaction: u16,
}

/// How a request went.
enum Answer {
    Done,
    Refused,
    Nothing,
    /// The connection is gone.
    Closed,
}

impl Connection {
    async fn open(address: SocketAddr) -> Result<Self, DrillError> {
        Self::open_from(Some(SOURCE), address).await
    }

    async fn open_from(source: Option<Ipv4Addr>, address: SocketAddr) -> Result<Self, DrillError> {
        let failed = |source| DrillError::Io { address, source };
        let socket = match address.ip() {
            IpAddr::V4(_) => TcpSocket::new_v4(),
            IpAddr::V6(_) => TcpSocket::new_v6(),
        }
        .map_err(failed)?;
        if let (Some(source), IpAddr::V4(_)) = (source, address.ip()) {
            // Where the system has but one loopback address, the attacker shares it.
            let _ = socket.bind(SocketAddr::new(source.into(), 0));
        }
        let stream = socket.connect(address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Connection { stream, transaction: 0 })
    }

    fn adu(&mut self, unit: UnitId, pdu: &[u8]) -> Vec<u8> {
        self.transaction = self.transaction.wrapping_add(1);
        frame(self.transaction, unit, pdu)
    }

    async fn ask(&mut self, unit: UnitId, pdu: &[u8]) -> Answer {
        let adu = self.adu(unit, pdu);
        self.ask_raw(&adu).await
    }

    /// Sends bytes and waits for one answer.
    async fn ask_raw(&mut self, adu: &[u8]) -> Answer {
        if self.stream.write_all(adu).await.is_err() {
            return Answer::Closed;
        }
        match timeout(ANSWER_WITHIN, self.answer()).await {
            Ok(Some(function)) if function & 0x80 != 0 => Answer::Refused,
            Ok(Some(_)) => Answer::Done,
            Ok(None) => Answer::Closed,
            Err(_) => Answer::Nothing,
        }
    }

    /// The function code of the next answer.
    async fn answer(&mut self) -> Option<u8> {
        let mut header = [0; 8];
        self.stream.read_exact(&mut header).await.ok()?;
        let [_, _, _, _, high, low, _, function] = header;
        let mut rest = vec![0; usize::from(u16::from_be_bytes([high, low])).saturating_sub(2)];
        self.stream.read_exact(&mut rest).await.ok()?;
        Some(function)
    }
}

fn frame(transaction: u16, unit: UnitId, pdu: &[u8]) -> Vec<u8> {
    let length = u16::try_from(pdu.len() + 1).unwrap_or(u16::MAX);
    [&transaction.to_be_bytes()[..], &[0, 0], &length.to_be_bytes(), &[unit.get()], pdu].concat()
}

/// A read of holding registers.
fn read(function: u8, address: u16, count: u16) -> Vec<u8> {
    [&[function][..], &address.to_be_bytes(), &count.to_be_bytes()].concat()
}

impl Campaign<'_> {
    fn first(&self) -> Result<Aim, DrillError> {
        self.aims.first().copied().ok_or(DrillError::Nothing)
    }

    fn aim_of(&self, unit: UnitId) -> Option<Aim> {
        self.aims.iter().copied().find(|aim| aim.unit == unit)
    }

    fn may_go_on(&self) -> bool {
        self.report.requests < REQUESTS_MAX && Instant::now() < self.until
    }

    fn count(&mut self, answer: &Answer) {
        self.report.requests += 1;
        match answer {
            Answer::Done => self.report.done += 1,
            Answer::Refused => self.report.refused += 1,
            Answer::Nothing | Answer::Closed => self.report.unanswered += 1,
        }
    }

    async fn connect(&mut self, address: SocketAddr) -> Result<Connection, DrillError> {
        let connection = Connection::open(address).await?;
        self.report.connections += 1;
        Ok(connection)
    }

    /// Asks one after the other, on a new connection where the last was closed.
    async fn ask_all(
        &mut self,
        requests: impl IntoIterator<Item = (Aim, Vec<u8>)>,
        pace: Duration,
    ) -> Result<(), DrillError> {
        let mut open: Option<(SocketAddr, Connection)> = None;
        for (aim, pdu) in requests {
            if !self.may_go_on() {
                break;
            }
            let mut connection = match open.take() {
                Some((address, connection)) if address == aim.address => connection,
                _ => self.connect(aim.address).await?,
            };
            let answer = connection.ask(aim.unit, &pdu).await;
            self.count(&answer);
            // Whatever comes after its time would be taken for the next answer.
            if matches!(answer, Answer::Done | Answer::Refused) {
                open = Some((aim.address, connection));
            }
            if !pace.is_zero() {
                sleep(pace).await;
            }
        }
        Ok(())
    }

    async fn rogue_write(&mut self) -> Result<(), DrillError> {
        let write = self.writes.first().ok_or(DrillError::Nothing)?;
        let aim = self.aim_of(write.unit).ok_or(DrillError::Nothing)?;
        let pdu = write.pdu();
        self.ask_all([(aim, pdu)], Duration::ZERO).await
    }

    async fn frostygoop(&mut self) -> Result<(), DrillError> {
        let aimed: Vec<(Aim, &Write)> =
            self.writes.iter().filter_map(|write| Some((self.aim_of(write.unit)?, write))).collect();
        if aimed.is_empty() {
            return Err(DrillError::Nothing);
        }
        let reads: Vec<(Aim, Vec<u8>)> = aimed
            .iter()
            .map(|(aim, write)| {
                let count = u16::try_from(write.values.len()).unwrap_or(1);
                (*aim, read(3, write.address, count))
            })
            .collect();
        let writes: Vec<(Aim, Vec<u8>)> = aimed.iter().map(|(aim, write)| (*aim, write.pdu())).collect();
        self.ask_all(reads, Duration::from_millis(50)).await?;
        self.ask_all(writes, Duration::from_millis(50)).await
    }

    async fn register_walk(&mut self) -> Result<(), DrillError> {
        let walk: Vec<(Aim, Vec<u8>)> = self
            .aims
            .iter()
            .flat_map(|aim| {
                (1..=4).flat_map(move |function| (0..250).map(move |at| (*aim, read(function, at, 1))))
            })
            .collect();
        self.ask_all(walk, Duration::ZERO).await
    }

    async fn function_enumeration(&mut self) -> Result<(), DrillError> {
        let aim = self.first()?;
        let all = (1..=127_u8).map(|function| (aim, vec![function, 0, 0, 0, 1]));
        self.ask_all(all, Duration::ZERO).await
    }

    async fn unit_sweep(&mut self) -> Result<(), DrillError> {
        let address = self.first()?.address;
        let all = (0..=255).map(|unit| (Aim { address, unit: UnitId(unit) }, read(3, 0, 1)));
        self.ask_all(all, Duration::ZERO).await
    }

    async fn flood(&mut self) -> Result<(), DrillError> {
        let aim = self.first()?;
        let until = self.until.min(Instant::now() + Duration::from_secs(5));
        let mut floods = tokio::task::JoinSet::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut connection = self.connect(aim.address).await?;
            floods.spawn(async move {
                let mut report = Report::default();
                let share = REQUESTS_MAX / CONNECTIONS_MAX as u64;
                while report.requests < share && Instant::now() < until {
                    let answer = connection.ask(aim.unit, &read(3, 0, 1)).await;
                    report.requests += 1;
                    match answer {
                        Answer::Done => report.done += 1,
                        Answer::Refused => report.refused += 1,
                        Answer::Nothing | Answer::Closed => {
                            report.unanswered += 1;
                            break;
                        }
                    }
                }
                report
            });
        }
        while let Some(Ok(one)) = floods.join_next().await {
            self.report.requests += one.requests;
            self.report.done += one.done;
            self.report.refused += one.refused;
            self.report.unanswered += one.unanswered;
        }
        Ok(())
    }

    async fn replay(&mut self) -> Result<(), DrillError> {
        let write = self.writes.first().ok_or(DrillError::Nothing)?;
        let aim = self.aim_of(write.unit).ok_or(DrillError::Nothing)?;
        // What the operator sent, and somebody on the way has kept: to the byte, transaction id included.
        let kept = frame(0x1D0F, aim.unit, &write.pdu());
        let mut operator = Connection::open_from(None, aim.address).await?;
        self.report.connections += 1;
        let answer = operator.ask_raw(&kept).await;
        self.count(&answer);
        let mut attacker = self.connect(aim.address).await?;
        for _ in 0..10 {
            sleep(Duration::from_millis(100)).await;
            let answer = attacker.ask_raw(&kept).await;
            self.count(&answer);
            if matches!(answer, Answer::Closed | Answer::Nothing) {
                break;
            }
        }
        Ok(())
    }

    async fn slow_drip(&mut self) -> Result<(), DrillError> {
        let aim = self.first()?;
        let until = self.until.min(Instant::now() + Duration::from_secs(10));
        let mut drips = Vec::with_capacity(CONNECTIONS_MAX);
        for _ in 0..CONNECTIONS_MAX {
            drips.push(self.connect(aim.address).await?);
        }
        // The longest request that there is, without its last byte.
        let request = frame(1, aim.unit, &[&[16, 0, 0, 0, 123, 246][..], &[0; 246]].concat());
        self.report.requests += CONNECTIONS_MAX as u64;
        for byte in request.iter().take(request.len() - 1) {
            for drip in &mut drips {
                // One that the server has closed has done what it could.
                let _ = timeout_at(until, drip.stream.write_all(&[*byte])).await;
            }
            if Instant::now() >= until {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        self.report.unanswered += CONNECTIONS_MAX as u64;
        Ok(())
    }
}
