//! Every key of a site file: what the parser knows, the messages suggest and `docs/site-file.md` describes.

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What stands behind `=`.
    pub takes: &'static str,
    /// What holds without it.
    pub default: Otherwise,
    /// What it is for.
    pub meaning: &'static str,
}

/// What holds without a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Otherwise {
    /// It has to be there, as in this example.
    Required(&'static str),
    /// This holds.
    Default(&'static str),
    /// There is none of it.
    Nothing,
}

/// A table and its keys.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// As its header is written; what is in capitals is a name of yours.
    pub header: &'static str,
    /// What messages call it.
    pub called: &'static str,
    /// What it describes.
    pub meaning: &'static str,
    /// Its keys, in the order in which they are explained.
    pub keys: &'static [Key],
}

impl Section {
    /// The key with this name.
    #[must_use]
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        // The first letter tells most keys of the same length apart, without a call.
        let first = name.as_bytes().first();
        self.keys.iter().find(|key| key.name.as_bytes().first() == first && key.name == name)
    }
}

const fn required(
    name: &'static str,
    takes: &'static str,
    example: &'static str,
    meaning: &'static str,
) -> Key {
    Key { name, takes, default: Otherwise::Required(example), meaning }
}

const fn default(name: &'static str, takes: &'static str, value: &'static str, meaning: &'static str) -> Key {
    Key { name, takes, default: Otherwise::Default(value), meaning }
}

const fn optional(name: &'static str, takes: &'static str, meaning: &'static str) -> Key {
    Key { name, takes, default: Otherwise::Nothing, meaning }
}

const DESCRIPTION: Key = optional("description", "text", "For people.");

/// The sections of a file, as they stand at its top level.
pub const TOP: Section = Section {
    header: "",
    called: "a site file",
    meaning: "The sections of a site file. They may stand in any order, and be spread over the files of a folder.",
    keys: &[
        required("site", "table", "[site]", "The site as a whole."),
        optional("poll", "table", "How this program polls."),
        optional("zone", "tables by name", "Zones: who is where (IEC 62443)."),
        optional("role", "tables by name", "Roles: what people may do."),
        optional("scan", "tables by name", "Scan classes: how often tags are read."),
        optional("link", "tables by name", "Buses, gateways and single-socket devices."),
        optional("device", "tables by name", "Devices, and the tags in them."),
        optional("tag", "tables by name", "Computed tags."),
        optional("guard", "tables by name", "Conduits: where the guard stands, and what it lets through."),
        optional("history", "table", "What is kept, where and for how long."),
        optional("outlet", "tables by name", "Where samples go besides the history."),
    ],
};

/// `[site]`
pub const SITE: Section = Section {
    header: "[site]",
    called: "[site]",
    meaning: "The site as a whole.",
    keys: &[
        required("name", "text", "name = \"Northfield water works\"", "What people call it."),
        DESCRIPTION,
        default("timezone", "text", "UTC", "The IANA name of its time zone, for time windows and reports."),
    ],
};

/// `[poll]`
pub const POLL: Section = Section {
    header: "[poll]",
    called: "[poll]",
    meaning: "How this program polls.",
    keys: &[optional(
        "zone",
        "zone",
        "Where this program runs: the baseline expects polls from there and from nowhere else.",
    )],
};

/// `[zone.NAME]`
pub const ZONE: Section = Section {
    header: "[zone.NAME]",
    called: "a zone",
    meaning: "A part of the network whose clients are treated alike (IEC 62443-3-2).",
    keys: &[
        required(
            "networks",
            "networks",
            "networks = [\"10.20.0.0/24\"]",
            "Its addresses. An address belongs to one zone only.",
        ),
        optional("roles", "roles", "What its clients act as when they show no certificate."),
        DESCRIPTION,
    ],
};

/// `[role.NAME]`
pub const ROLE: Section = Section {
    header: "[role.NAME]",
    called: "a role",
    meaning: "What people, or the certificates of clients, may do. Who has a role does not stand in this file.",
    keys: &[
        default("may", "permissions", "[]", "`ack`, `shelve`, `shelve<=8h`, `write`, `configure`."),
        default("areas", "texts", "all", "The areas in which they may."),
        DESCRIPTION,
    ],
};

/// `[scan.NAME]`
pub const SCAN: Section = Section {
    header: "[scan.NAME]",
    called: "a scan class",
    meaning: "How often tags are read. Tags that name no class have the device's, and otherwise `normal`, which is \
        2s unless it is defined.",
    keys: &[
        required("every", "duration", "every = \"2s\"", "From one reading to the next, 10ms to 1d."),
        default(
            "deadband",
            "number or percent",
            "0",
            "A change that is smaller is not a new sample; a percentage is of the tag's range.",
        ),
        optional("max_silence", "duration", "A sample is stored after so long even when nothing changed."),
    ],
};

const GAP: Key = default("gap", "duration", "0", "From an answer to the next request.");
const TIMEOUT: Key = default("timeout", "duration", "1s", "How long an answer may take.");
const RETRIES: Key =
    default("retries", "integer", "1", "Times that a read is asked again, 0 to 10; a write never is.");
const LATENCY: Key = default(
    "latency",
    "duration",
    "2ms, on a bus 5ms",
    "What a request takes beside its bytes; the poll plan weighs requests against registers with it.",
);
const BAUD: Key = default(
    "baud",
    "integer",
    "the target's; 19200 for rtu+tcp and its like",
    "The speed of the bus behind a converter, for the poll plan.",
);
const IN_FLIGHT: Key =
    default("in_flight", "integer", "1", "Requests sent before the first is answered, 1 to 256.");
const CONNECT_DELAY: Key =
    default("connect_delay", "duration", "0", "From the connection to the first request.");
const DEMOTE: Key = default(
    "demote",
    "{ after, probe }",
    "{ after = 3, probe = \"15s\" }",
    "After so many rounds without an answer a device is only asked at this interval, so that it does not hold up the others.",
);

/// `[link.NAME]`
pub const LINK: Section = Section {
    header: "[link.NAME]",
    called: "a link",
    meaning: "A bus, a gateway or a device with several units: what is asked on it is asked one after the other.",
    keys: &[
        required("connect", "target", "connect = \"tcp://10.20.1.11:502\"", "Where it is reached."),
        GAP,
        TIMEOUT,
        RETRIES,
        LATENCY,
        BAUD,
        IN_FLIGHT,
        CONNECT_DELAY,
        DEMOTE,
        DESCRIPTION,
    ],
};

/// `demote = { ... }`
pub const DEMOTION: Section = Section {
    header: "demote = { ... }",
    called: "demote",
    meaning: "When a device is asked less often.",
    keys: &[
        default("after", "integer", "3", "Rounds without an answer, 1 to 1000."),
        default("probe", "duration", "15s", "From one attempt to the next."),
    ],
};

/// `[device.NAME]`
pub const DEVICE: Section = Section {
    header: "[device.NAME]",
    called: "a device",
    meaning: "One unit on a link. With `connect` it has a link of its own, and takes the link's keys too.",
    keys: &[
        optional("link", "link", "The link it is on."),
        optional(
            "connect",
            "target",
            "Where it is reached, when it has a link of its own. Either this or `link`.",
        ),
        default(
            "unit",
            "integer",
            "1",
            "Its unit id, 0 to 255; unique on its link. 0 only over TCP, TLS and UDP: on a bus it is the broadcast.",
        ),
        optional(
            "profile",
            "text",
            "A built-in profile: its tags and quirks hold where this device says nothing else.",
        ),
        DESCRIPTION,
        optional("area", "text", "The part of the site it belongs to."),
        default("scan", "scan class", "normal", "The scan class of tags that name none."),
        default(
            "order",
            "byte order",
            "abcd",
            "The order of values of two and more registers whose type names none.",
        ),
        default("max_registers", "integer", "125", "Registers in one read, 1 to 125."),
        default("max_bits", "integer", "2000", "Coils or discrete inputs in one read, 1 to 2000."),
        default("max_write_registers", "integer", "123", "Registers in one write, 1 to 123."),
        default("max_write_bits", "integer", "1968", "Coils in one write, 1 to 1968."),
        default(
            "fill",
            "integer",
            "what the cost says",
            "So many addresses that no tag needs may be read between two that are needed; 0 for none.",
        ),
        default("holes", "places", "[]", "Addresses that are never read: `holding:120-127`."),
        default(
            "quirks",
            "words",
            "[]",
            "`one-per-request`: each value in a request of its own. `coils-from-zero`: reads of bits begin at address 0. \
             `one-client`: it takes one connection at a time.",
        ),
        default(
            "shift",
            "integer",
            "0",
            "So much further than in the profile are the tags of the profile: for a SunSpec model, or one of several equal meters.",
        ),
        TIMEOUT,
        RETRIES,
        GAP,
        LATENCY,
        BAUD,
        IN_FLIGHT,
        CONNECT_DELAY,
        DEMOTE,
        optional("tag", "tables by name", "Its tags."),
    ],
};

/// Keys of a device that only hold for a link of its own.
pub const LANE_ONLY: &[&str] = &["gap", "latency", "baud", "in_flight", "connect_delay", "demote"];

const UNIT: Key = optional("unit", "text", "The unit of its values: `m`, `Hz`, `m3/h`.");
const RANGE: Key = optional(
    "range",
    "[low, high]",
    "What the value can be in engineering units. Outside it is doubted; the guard and the watch use it too.",
);
const DEADBAND: Key = default(
    "deadband",
    "number or percent",
    "the scan class's",
    "A change that is smaller is not a new sample.",
);
const MAX_SILENCE: Key = default(
    "max_silence",
    "duration",
    "the scan class's",
    "A sample is stored after so long even when nothing changed.",
);
const ALARM_KEY: Key = optional("alarm", "tables by name", "Its alarms.");
const AREA: Key = optional("area", "text", "The part of the site it belongs to; otherwise the device's.");
const PRECISION: Key = optional("precision", "integer", "Digits behind the point that are shown, 0 to 9.");

/// `[device.NAME.tag.NAME]`
pub const TAG: Section = Section {
    header: "[device.NAME.tag.NAME]",
    called: "a tag",
    meaning: "One value of a device. It is called `device.tag` everywhere.",
    keys: &[
        required(
            "at",
            "point",
            "at = \"holding:100\", or \"40101\" as manuals count",
            "Table and address, 0-based; or a reference, 1-based: \"40101\", \"4x0101\". A number alone is refused.",
        ),
        default(
            "type",
            "type",
            "u16, of bits bool",
            "How it is read, with the byte order where it matters: `f32:cdab`. It may stand in `at` too: \"holding:100:f32:cdab\".",
        ),
        UNIT,
        DESCRIPTION,
        default("scale", "number", "1", "What the number in the registers is multiplied by."),
        default("offset", "number", "0", "What is added after that."),
        optional(
            "exponent",
            "tag",
            "A tag of the same device that holds the power of ten of this one, as SunSpec's scale factors do.",
        ),
        RANGE,
        default(
            "nan",
            "integers",
            "[]",
            "Values in the registers that mean that there is no value: `[0x8000]`.",
        ),
        optional("labels", "{ \"0\" = \"off\" }", "What numbers mean."),
        default(
            "counter",
            "true or false",
            "false",
            "It only rises, and begins again at 0 when the type is full.",
        ),
        default("scan", "scan class", "the device's", "How often it is read."),
        DEADBAND,
        MAX_SILENCE,
        ALARM_KEY,
        optional("write", "table", "Who may write it, and within what limits. Without it nobody may."),
        default(
            "initial",
            "number, text, true or false",
            "the middle of the range",
            "What the simulator begins with.",
        ),
        PRECISION,
        AREA,
    ],
};

/// `[tag.NAME]`
pub const COMPUTED: Section = Section {
    header: "[tag.NAME]",
    called: "a computed tag",
    meaning: "A value made of others. It is bad when one of them is.",
    keys: &[
        required(
            "expr",
            "expression",
            "expr = \"intake.flow / intake.power\"",
            "Numbers, tags, `+ - * / ( )`, `== != < <= > >=`, `and or not`, `min max abs`, `if(condition, then, else)`.",
        ),
        UNIT,
        DESCRIPTION,
        RANGE,
        DEADBAND,
        MAX_SILENCE,
        ALARM_KEY,
        PRECISION,
        optional("area", "text", "The part of the site it belongs to."),
    ],
};

/// `alarm.NAME = { ... }`
pub const ALARM: Section = Section {
    header: "alarm.NAME = { ... }",
    called: "an alarm",
    meaning: "One condition, and what people need to know when it holds (ISA-18.2).",
    keys: &[
        optional("above", "number", "It is active above this."),
        optional("below", "number", "It is active below this."),
        optional("is", "integer, true or false", "It is active while the value is this."),
        optional("rises", "number", "It is active when the value rises by this much in `per`."),
        optional("falls", "number", "It is active when the value falls by this much in `per`."),
        default("per", "duration", "1s", "The time of `rises` and `falls`."),
        optional(
            "deviates",
            "number",
            "It is active when the value is further than this from the tag `from`.",
        ),
        optional("from", "tag", "What `deviates` compares with."),
        default("deadband", "number", "0", "So far the value has to come back before it clears."),
        default("delay", "duration", "0", "So long the condition holds before it is active."),
        default("off_delay", "duration", "0", "So long the condition is gone before it clears."),
        default("priority", "integer", "3", "1 is the highest, 4 the lowest."),
        default("latched", "true or false", "false", "It stays active until somebody resets it."),
        optional("unless", "expression", "Suppressed while this holds: a pump that is off has no low flow."),
        optional("class", "text", "A group of alarms for reports."),
        optional("consequence", "text", "What happens if nobody acts."),
        optional("action", "text", "What the operator does."),
    ],
};

/// `write = { ... }`
pub const WRITE: Section = Section {
    header: "write = { ... }",
    called: "write",
    meaning: "Who may write a tag, and within what limits. The guard enforces it against everyone.",
    keys: &[
        required("roles", "roles", "roles = [\"operator\"]", "Who may."),
        default("min", "number", "the range's", "The smallest value."),
        default("max", "number", "the range's", "The largest value."),
        optional("values", "numbers", "The values that may be written, instead of `min` and `max`."),
        optional("max_step", "number", "How far one write may move it."),
        optional("rate", "rate", "How often it may be written: `\"6/min\"`."),
        optional(
            "after",
            "{ tag, is, within }",
            "It may only be written while another tag of the site is so.",
        ),
        optional(
            "readback",
            "point",
            "Where the device shows that it took the value; it has the tag's type.",
        ),
        default("within", "duration", "2s", "How soon `readback` has to show it."),
        default("confirm", "true or false", "true", "People are asked before it is sent."),
    ],
};

/// `after = { ... }`
pub const AFTER: Section = Section {
    header: "after = { ... }",
    called: "after",
    meaning: "What has to be so before a write.",
    keys: &[
        required("tag", "tag", "tag = \"intake.valve_shut\"", "What is looked at."),
        required(
            "is",
            "integer, true or false",
            "is = true",
            "What it has to be, as it stands in the registers.",
        ),
        optional("within", "duration", "How long ago it may have become so at most, as seen by the guard."),
    ],
};

/// `[guard.NAME]`
pub const GUARD: Section = Section {
    header: "[guard.NAME]",
    called: "a conduit",
    meaning: "The guard listens where clients used to reach the device. What no rule allows is refused.",
    keys: &[
        required(
            "listen",
            "targets",
            "listen = [\"tcp://0.0.0.0:502\"]",
            "Where it listens: tcp:// or tls://.",
        ),
        required(
            "to",
            "device or link",
            "to = \"intake\"",
            "What it protects: a device, a link with all devices on it, or a list of devices on one link.",
        ),
        default("allow", "rules", "[]", "What passes."),
        default("deny", "rules", "[]", "What does not, whatever `allow` says."),
        default("mode", "word", "enforce", "`enforce`, or `alert`: let pass and record."),
        default(
            "refuse",
            "word",
            "exception",
            "What a refusal looks like: `exception`, `exception:2`, `drop`, `reset`.",
        ),
        default(
            "share",
            "true or false",
            "false",
            "All clients share one connection to the device. So it always is with `one-client` devices, buses, and links with a `gap` or `connect_delay`.",
        ),
        optional("connections", "integer", "Connections at once."),
        optional("connections_per_client", "integer", "Connections at once from one address."),
        optional("requests", "rate", "Requests of one client: `\"50/s\"`."),
        optional("cert", "path", "The certificate it shows, for tls://."),
        optional("key", "path", "The key of the certificate. Only the path stands in this file."),
        optional(
            "ca",
            "path",
            "Who signs the certificates of clients, for tls://. Without it, `ca.pem` beside the certificate.",
        ),
        DESCRIPTION,
    ],
};

/// A rule in `allow` or `deny`.
pub const RULE: Section = Section {
    header: "allow = [{ ... }], deny = [{ ... }]",
    called: "a rule",
    meaning: "All that it says has to hold. In `allow` something has to say what passes: `do`, `functions` or `at`.",
    keys: &[
        optional("name", "text", "What reports call it."),
        optional("from", "zones or networks", "Who asks: names of zones, or networks."),
        optional("roles", "roles", "Who asks: by certificate, or by the zone's roles."),
        optional("subjects", "texts", "Who asks: the subject of the certificate; `*` stands for any text."),
        default("units", "integers or ranges", "those of `to`", "Of whom: `[1, \"3-9\"]`."),
        optional(
            "do",
            "word",
            "`derived`: what the tags need, no more. `read-only`, `read-write`; `programming`: every function.",
        ),
        optional(
            "functions",
            "functions",
            "Function codes or names: `[3, \"ReadCoils\", \"43/14\", \"8/0\"]`.",
        ),
        optional("at", "places", "Where: `[\"holding:100-110\", \"coil:*\"]`."),
        optional(
            "values",
            "[low, high]",
            "Values in registers that may be written; each register by itself.",
        ),
        optional("times", "time windows", "When: `[\"mon-fri 06:00-18:00\"]`, in the site's time zone."),
        optional("requests", "rate", "How often one client may: `\"10/min\"`."),
        optional(
            "mode",
            "word",
            "Instead of the conduit's. What a `deny` in `alert` tells of passes only when `allow` says so.",
        ),
        optional("refuse", "word", "Instead of the conduit's."),
    ],
};

/// `[history]`
pub const HISTORY: Section = Section {
    header: "[history]",
    called: "[history]",
    meaning: "What is kept.",
    keys: &[
        default("keep", "duration", "400d", "How long samples are kept."),
        optional("dir", "path", "The folder; otherwise beside the site file."),
        default("fsync", "duration", "1s", "So much may be lost when the power fails, 100ms to 10s."),
    ],
};

/// `[outlet.NAME]`
pub const OUTLET: Section = Section {
    header: "[outlet.NAME]",
    called: "an outlet",
    meaning: "Where samples go besides the history: one of `nats`, `mqtt`, `postgres`, `opcua`, `prometheus`.",
    keys: &[
        optional("nats", "URL", "A NATS server."),
        optional("mqtt", "URL", "An MQTT broker, as Sparkplug B."),
        optional("postgres", "URL", "A PostgreSQL database, without a password."),
        optional("opcua", "URL", "Where to serve OPC UA."),
        optional("prometheus", "URL", "Where to serve metrics."),
        default("tags", "patterns", "all", "Which tags: `[\"intake.*\"]`."),
        optional("creds", "path", "A file with the credentials. Secrets never stand in this file."),
        optional("ca", "path", "Who signs the server's certificate."),
        DESCRIPTION,
    ],
};

/// Every section, in the order of the documentation.
pub const ALL: &[Section] = &[
    TOP, SITE, POLL, ZONE, ROLE, SCAN, LINK, DEMOTION, DEVICE, TAG, ALARM, WRITE, AFTER, COMPUTED, GUARD,
    RULE, HISTORY, OUTLET,
];

/// What stands in a profile beside the body of a device.
pub const PROFILE: Section = Section {
    header: "",
    called: "a profile",
    meaning: "A profile is the body of a device, and what it says of itself.",
    keys: &[optional("about", "table", "Whose device it describes.")],
};

/// `[about]`
pub const ABOUT: Section = Section {
    header: "[about]",
    called: "[about]",
    meaning: "Whose device a profile describes, how to recognise one, and how far the profile can be trusted.",
    keys: &[
        required("title", "text", "title = \"SDM120-Modbus, single phase\"", "The device."),
        required("maker", "text", "maker = \"Eastron\"", "Who makes it."),
        optional("document", "text", "The maker's document, with its revision."),
        default("sources", "texts", "[]", "Where the addresses were looked up."),
        default(
            "verified",
            "word",
            "document",
            "`document`: against documents only. `device`: against a device.",
        ),
        optional("serial", "text", "How its serial line is set when it is new: `9600 8N1`."),
        optional("notes", "text", "What else one should know."),
        optional("sunspec", "table", "Of a SunSpec model: where it is among the models."),
        default("probes", "tables", "[]", "How to recognise the device. Each has to hold."),
        default("vectors", "tables", "[]", "Registers and what they mean; a test checks them."),
    ],
};

/// `sunspec = { ... }`
pub const MODEL: Section = Section {
    header: "sunspec = { ... }",
    called: "sunspec",
    meaning: "A SunSpec model.",
    keys: &[
        required("model", "integer", "model = 103", "Its number."),
        required("at", "integer", "at = 40070", "The holding register with its number, in this profile."),
        required(
            "length",
            "integer",
            "length = 50",
            "The registers behind number and length, without groups.",
        ),
        optional("group", "{ prefix, at, length }", "What it repeats."),
    ],
};

/// `group = { ... }`
pub const GROUP: Section = Section {
    header: "group = { ... }",
    called: "group",
    meaning: "What a SunSpec model repeats as often as it is long.",
    keys: &[
        required("prefix", "text", "prefix = \"module\"", "What its tags begin with, in front of a number."),
        required("at", "integer", "at = 10", "Where the first begins, counted from the model."),
        required("length", "integer", "length = 20", "How long each is."),
        optional("within", "table", "What each of them repeats in turn, as often as a register says."),
    ],
};

/// `within = { ... }`
pub const WITHIN: Section = Section {
    header: "within = { ... }",
    called: "within",
    meaning: "What is repeated within each group of a SunSpec model, as the points of a curve.",
    keys: &[
        required("count", "text", "count = \"points\"", "The tag that says how often."),
        required(
            "times",
            "integer",
            "times = 4",
            "How often it is in this profile; `length` of the group counts so.",
        ),
        required(
            "groups",
            "tables",
            "groups = [{ prefix = \"point\", at = 10, length = 2 }]",
            "What is repeated.",
        ),
    ],
};

/// `groups = [{ ... }]`
pub const INNER_GROUP: Section = Section {
    header: "groups = [{ ... }]",
    called: "a group within a group",
    meaning: "One of the things that are repeated within a group.",
    keys: &[
        required(
            "prefix",
            "text",
            "prefix = \"point\"",
            "What its tags begin with, behind that of the group and in front of a number.",
        ),
        required("at", "integer", "at = 10", "Where the first begins, counted from the group."),
        required("length", "integer", "length = 2", "How long each is."),
    ],
};

/// `probes = [{ ... }]`
pub const PROBE: Section = Section {
    header: "probes = [{ ... }]",
    called: "a probe",
    meaning: "One sign of a device.",
    keys: &[
        required("at", "point", "at = \"holding:11\"", "What is read."),
        required("is", "integers or texts", "is = [1648]", "It holds one of these."),
        optional("begins", "text", "It begins like this."),
        optional("between", "[low, high]", "The number in the registers lies between these."),
        optional(
            "object",
            "integer",
            "An object of the device identification (43/14): 0 vendor, 1 product code.",
        ),
        required("contains", "text", "contains = \"iEM3\"", "What the object has in it."),
        optional("model", "integer", "This SunSpec model is found."),
    ],
};

/// `vectors = [{ ... }]`
pub const VECTOR: Section = Section {
    header: "vectors = [{ ... }]",
    called: "a vector",
    meaning: "Registers and what they mean.",
    keys: &[
        required("tag", "tag", "tag = \"voltage\"", "Whose registers."),
        required(
            "hex",
            "text",
            "hex = \"43663333\"",
            "The registers, four digits each; of a bit 0000 or 0001.",
        ),
        optional("exponent", "integer", "What stands in the tag's `exponent`."),
        required(
            "value",
            "number, text, true or false",
            "value = 230.2",
            "What they mean, in engineering units; `false` of a number: that there is none.",
        ),
    ],
};
