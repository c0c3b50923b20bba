//! Processes: the one that the agent becomes, the ones it runs, and all of the pod's.

use alloc::vec;
use alloc::vec::Vec;

use super::files;
use super::linux::{
    Bytes, EAGAIN, EEXIST, EINVAL, ENOENT, Fd, HOME, RUN, Result, at, decimal, now_ms, parse, read, result, sleep_ms,
    write, write_all, zero,
};
use super::sys::{call, exit as leave, n};

const KILL: i32 = 9;
const PIPE: u64 = 1 << 12; // SIGPIPE is 13
const NONBLOCK: usize = 0o4000;
const CLOEXEC: usize = 0o2_000_000;
/// How long a command's outputs get to end after it did.
const DRAIN_MS: u64 = 500;
/// The port of every Service that is skew's own.
const OWN_PORT: u16 = 65_535;
const EISCONN: i32 = 106;
/// How long a Service gets to lead to its pod: a busy cluster takes seconds, and who begins earlier is refused by peers
/// for nothing that it did.
const SERVICE_MS: u64 = 30_000;
/// How often a process is looked at.
const LOOK_MS: u64 = 5;

/// Blocks SIGPIPE, or lets it through again.
pub(crate) fn block_pipe_signal(block: bool) {
    let set = [PIPE];
    call(n::SIGPROCMASK, [usize::from(!block), set.as_ptr() as usize, 0, 8, 0, 0]);
}

fn kill(pid: i32, signal: i32) -> Result<usize> {
    result(call(n::KILL, [pid as usize, signal as usize, 0, 0, 0, 0]))
}

fn in_run(name: &[u8]) -> Bytes {
    [RUN.as_bytes(), b"/", name].concat()
}

/// Waits until it is ended.
pub(crate) fn hold() -> i32 {
    loop {
        sleep_ms(3_600_000);
    }
}

/// Becomes a program; the error's number when it cannot.
fn execute(argv: &[Bytes], env: &[Bytes]) -> i32 {
    let program = at(argv, 0);
    if program.is_empty() {
        return EINVAL;
    }
    let (args, vars): (Vec<Bytes>, Vec<Bytes>) =
        (argv.iter().map(|a| zero(a)).collect(), env.iter().map(|e| zero(e)).collect());
    let pointers = |texts: &[Bytes]| {
        let mut pointers: Vec<usize> = texts.iter().map(|text| text.as_ptr() as usize).collect();
        pointers.push(0);
        pointers
    };
    let (args, vars) = (pointers(&args), pointers(&vars));
    let exec = |path: &[u8]| {
        let path = zero(path);
        let failed = call(n::EXECVE, [path.as_ptr() as usize, args.as_ptr() as usize, vars.as_ptr() as usize, 0, 0, 0]);
        -(failed as i32)
    };
    if program.contains(&b'/') {
        return exec(program);
    }
    let path = env.iter().rev().find_map(|pair| pair.strip_prefix(b"PATH=".as_slice()));
    let path = path.unwrap_or(b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    let mut worst = ENOENT;
    for dir in path.split(|b| *b == b':') {
        let error = exec(&[if dir.is_empty() { b".".as_slice() } else { dir }, b"/", program].concat());
        if error != ENOENT {
            worst = error;
        }
    }
    worst
}

/// The status that a shell gives to a program that cannot be executed.
fn status_of(error: i32) -> i32 {
    if error == ENOENT { 127 } else { 126 }
}

/// What a node's container starts: config in place, then the node's own program instead of this one. Once in a pod.
pub(crate) fn run(args: &mut dyn Iterator<Item = &'static [u8]>, env: Vec<Bytes>) -> i32 {
    const CREATE_NEW: usize = 0o100 | 0o200 | 1;
    let marker = match files::open(-100, &in_run(b"node"), CREATE_NEW, 0o644) {
        Ok(marker) => marker,
        Err(EEXIST) => return hold(),
        Err(error) => return refuse("use its volume", error),
    };
    let pid = call(n::GETPID, [0; 6]) as u64;
    if let Err(error) = write_all(marker.0, &decimal(pid)) {
        return refuse("use its volume", error);
    }
    drop(marker);
    if let Err(error) = files::make_dirs().and_then(|()| files::place()) {
        return refuse("put its files in place", error);
    }
    let home = zero(HOME.as_bytes());
    call(n::CHDIR, [home.as_ptr() as usize, 0, 0, 0, 0, 0]);
    let mut args: Vec<Bytes> = args.map(<[u8]>::to_vec).collect();
    let end = args.iter().position(|arg| arg == b"--").unwrap_or(0);
    let argv = args.split_off((end + 1).min(args.len()));
    limit(4, 0); // no cores
    if let Some(flag) = args.iter().position(|arg| arg == b"-n") {
        limit(7, parse(at(&args, flag + 1)));
    }
    if let Some(flag) = args.iter().position(|arg| arg == b"-a") {
        let _ = await_service(at(&args, flag + 1)); // it is no condition
    }
    let error = execute(&argv, &env);
    let _ = refuse("execute the program", error);
    status_of(error)
}

/// Says why the node's program does not run, to `started` and to who looks at the pod.
fn refuse(what: &str, error: i32) -> i32 {
    let text = [decimal(error as u64), b" ".to_vec(), what.as_bytes().to_vec()].concat();
    for (path, flags) in [(in_run(b"refused"), 0o100 | 1), (b"/dev/termination-log".to_vec(), 1)] {
        if let Ok(file) = files::open(-100, &path, flags, 0o644) {
            let _ = write_all(file.0, &text);
        }
    }
    126
}

fn limit(resource: usize, to: u64) {
    let both = [to, to];
    call(n::PRLIMIT64, [0, resource, both.as_ptr() as usize, 0, 0, 0]);
}

/// `started MS`: waits until the node's program runs, or says why it does not.
pub(crate) fn started(within: u64) -> Result<Vec<Bytes>> {
    let own = link(b"/proc/self/exe");
    let deadline = now_ms() + within;
    loop {
        if let Ok(text) = files::slurp(&in_run(b"refused"), 4096) {
            let mut words = text.splitn(2, |b| *b == b' ');
            let (error, what) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            return Ok(vec![b"refused".to_vec(), error.to_vec(), what.to_vec()]);
        }
        let pid = files::slurp(&in_run(b"node"), 32).unwrap_or_default();
        if !pid.is_empty() {
            let exe = link(&[b"/proc/", pid.as_slice(), b"/exe"].concat());
            if exe != own {
                return Ok(vec![b"ok".to_vec(), if exe.is_empty() { b"gone".to_vec() } else { b"runs".to_vec() }]);
            }
        }
        if now_ms() >= deadline {
            return Ok(vec![b"late".to_vec()]);
        }
        sleep_ms(LOOK_MS);
    }
}

fn link(path: &[u8]) -> Bytes {
    let (path, mut target) = (zero(path), vec![0u8; 1024]);
    let room = [-100isize as usize, path.as_ptr() as usize, target.as_mut_ptr() as usize, target.len(), 0, 0];
    let length = result(call(n::READLINKAT, room)).unwrap_or(0);
    target.truncate(length);
    target
}

/// Whether a process is there and no zombie.
fn is_alive(pid: i32) -> bool {
    let stat = files::slurp(&[b"/proc/".as_slice(), &decimal(pid as u64), b"/stat"].concat(), 4096).unwrap_or_default();
    let after = stat.iter().rposition(|b| *b == b')').map_or(&[][..], |end| &stat[end..]);
    !matches!(at_word(after, 1), b"" | b"Z" | b"X")
}

fn at_word(text: &[u8], index: usize) -> &[u8] {
    text.split(|b| matches!(b, b' ' | b'\n')).nth(index).unwrap_or_default()
}

/// Every process of the pod but the first one, which holds it together, and this one.
fn others() -> Result<Vec<i32>> {
    let own = call(n::GETPID, [0; 6]) as i32;
    let proc = files::open(-100, b"/proc", n::O_DIRECTORY, 0)?;
    let pids = files::names(&proc)?.into_iter().filter(|name| name.iter().all(u8::is_ascii_digit));
    Ok(pids.map(|name| parse(&name) as i32).filter(|pid| *pid > 1 && *pid != own).collect())
}

/// `stop SIGNAL MS`: asks the node to stop, waits so long for it, then kills everything.
pub(crate) fn stop(signal: i32, grace: u64) -> Result<Vec<Bytes>> {
    let deadline = now_ms() + grace;
    let pid = parse(&files::slurp(&in_run(b"node"), 32).unwrap_or_default()) as i32;
    if grace > 0 && pid > 1 && is_alive(pid) {
        let _ = kill(pid, signal);
        let _ = kill(-1, 18); // CONT: one that is paused hears nothing
        while is_alive(pid) && now_ms() < deadline {
            sleep_ms(LOOK_MS);
        }
    }
    // The kernel leaves the caller and the first process out.
    let _ = kill(-1, KILL);
    let deadline = now_ms() + 5000;
    while pid > 1 && is_alive(pid) {
        if now_ms() >= deadline {
            return Ok(vec![b"survives".to_vec(), decimal(pid as u64)]);
        }
        sleep_ms(LOOK_MS);
    }
    Ok(vec![b"ok".to_vec()])
}

/// `all SIGNAL`: to every process of the pod.
pub(crate) fn all(signal: i32) -> Result<Vec<Bytes>> {
    let _ = kill(-1, signal);
    Ok(vec![b"ok".to_vec()])
}

/// An address of the internet, as the kernel reads it.
fn address(host: [u8; 4], port: u16) -> [u8; 16] {
    let mut bytes = [0u8; 16];
    bytes[0] = 2;
    bytes[2..4].copy_from_slice(&port.to_be_bytes());
    bytes[4..8].copy_from_slice(&host);
    bytes
}

fn socket(flags: usize) -> Result<Fd> {
    Ok(Fd(result(call(n::SOCKET, [2, 1 | CLOEXEC | flags, 0, 0, 0, 0]))? as i32))
}

fn connect(socket: &Fd, to: &[u8; 16]) -> Result<usize> {
    result(call(n::CONNECT, [socket.0 as usize, to.as_ptr() as usize, to.len(), 0, 0, 0]))
}

/// `dial PORT MS`: waits until the node accepts connections on a port, or the last error's number.
pub(crate) fn dial(port: u64, within: u64) -> Result<Vec<Bytes>> {
    let deadline = now_ms() + within;
    loop {
        match connect(&socket(0)?, &address([127, 0, 0, 1], port as u16)) {
            Ok(_) => return Ok(vec![b"ok".to_vec()]),
            Err(error) if now_ms() >= deadline => return Err(error),
            Err(_) => sleep_ms(LOOK_MS),
        }
    }
}

/// Waits until the Service's address leads here, by the port that is skew's own: the cluster tells every machine of a
/// new pod in its own time, and who dials earlier is refused although the node is there. Only as long as that helps: a
/// pod may be unable to reach itself by its Service.
fn await_service(host: &[u8]) -> Result<()> {
    const NONBLOCKING: usize = 0o4000;
    let mut bytes = [0u8; 4];
    for (byte, text) in bytes.iter_mut().zip(host.split(|b| *b == b'.')) {
        *byte = parse(text) as u8;
    }
    let (listener, here) = (socket(0)?, address([0; 4], OWN_PORT));
    result(call(n::BIND, [listener.0 as usize, here.as_ptr() as usize, here.len(), 0, 0, 0]))?;
    result(call(n::LISTEN, [listener.0 as usize, 16, 0, 0, 0, 0]))?;
    let (deadline, there) = (now_ms() + SERVICE_MS, address(bytes, OWN_PORT));
    let mut silent = 0;
    while now_ms() < deadline && silent < 2 {
        let caller = socket(NONBLOCKING)?;
        let at_once = [1u32, 0]; // it leaves no trace when it is closed
        call(n::SETSOCKOPT, [caller.0 as usize, 1, 13, at_once.as_ptr() as usize, 8, 0]);
        let _ = connect(&caller, &there);
        let mut entry = caller.0 as u64 | 4 << 32;
        let time = [1u64, 0];
        let ready = call(n::PPOLL, [&raw mut entry as usize, 1, time.as_ptr() as usize, 0, 8, 0]);
        match connect(&caller, &there) {
            Ok(_) | Err(EISCONN) => return Ok(()),
            Err(_) if ready == 0 => silent += 1,
            Err(_) => sleep_ms(LOOK_MS * 4),
        }
    }
    Ok(())
}

/// What the pod's processes use: bytes, milliseconds, how many.
pub(crate) fn usage() -> Result<Vec<Bytes>> {
    let (mut pages, mut ticks, mut count) = (0, 0, 0);
    for pid in others()? {
        let of = |name: &[u8]| files::slurp(&[b"/proc/", decimal(pid as u64).as_slice(), name].concat(), 4096);
        let (Ok(stat), Ok(memory)) = (of(b"/stat"), of(b"/statm")) else { continue };
        let after = stat.iter().rposition(|b| *b == b')').map_or(&[][..], |end| &stat[end..]);
        if matches!(at_word(after, 1), b"Z" | b"X") {
            continue;
        }
        pages += parse(at_word(&memory, 1));
        ticks += parse(at_word(after, 12)) + parse(at_word(after, 13));
        count += 1;
    }
    // A tick is 10 ms for every program.
    Ok(vec![b"ok".to_vec(), decimal(pages * 4096), decimal(ticks * 10), decimal(count)])
}

fn pipe(flags: usize) -> Result<(Fd, Fd)> {
    let mut ends = [0i32; 2];
    result(call(n::PIPE2, [ends.as_mut_ptr() as usize, flags | CLOEXEC, 0, 0, 0, 0]))?;
    Ok((Fd(ends[0]), Fd(ends[1])))
}

/// One output of a command, as much as is kept.
struct Kept {
    from: Option<Fd>,
    bytes: Bytes,
    limit: usize,
    truncated: bool,
}

impl Kept {
    /// Reads what is there.
    fn read(&mut self, buffer: &mut [u8]) {
        while let Some(from) = &self.from {
            match read(from.0, buffer) {
                Ok(0) => self.from = None,
                Ok(n) => {
                    let room = self.limit - self.bytes.len();
                    self.bytes.extend_from_slice(&buffer[..n.min(room)]);
                    self.truncated |= n > room;
                    if n < buffer.len() {
                        return;
                    }
                }
                Err(EAGAIN) => return,
                Err(_) => self.from = None,
            }
        }
    }
}

/// `exec MS KEEP STDIN ARGC ARGV… ENV…`: runs a command to its end, or to its deadline.
pub(crate) fn exec(request: &[Bytes], mut env: Vec<Bytes>) -> Result<Vec<Bytes>> {
    let (within, limit) = (parse(at(request, 0)), parse(at(request, 1)) as usize);
    let mut stdin = at(request, 2);
    let argc = parse(at(request, 3)) as usize;
    let rest = request.get(4..).unwrap_or_default();
    let (argv, extra) = rest.split_at(argc.min(rest.len()));
    for pair in extra {
        let key = &pair[..=pair.iter().position(|b| *b == b'=').ok_or(EINVAL)?];
        env.retain(|other| !other.starts_with(key));
        env.push(pair.clone());
    }
    files::make_dirs()?;
    let home = zero(HOME.as_bytes());
    call(n::CHDIR, [home.as_ptr() as usize, 0, 0, 0, 0, 0]);
    // skew's end does not wait, the command's end does as it always would.
    let (input, (output, errors), failure) = (pipe(0)?, (pipe(0)?, pipe(0)?), pipe(0)?);
    let pid = result(call(n::CLONE, [17, 0, 0, 0, 0, 0]))?; // SIGCHLD: a fork
    if pid == 0 {
        call(n::SETPGID, [0, 0, 0, 0, 0, 0]);
        for (end, number) in [(&input.0, 0), (&output.1, 1), (&errors.1, 2)] {
            call(n::DUP3, [end.0 as usize, number, 0, 0, 0, 0]);
        }
        block_pipe_signal(false);
        let error = execute(argv, &env);
        let _ = write_all(failure.1.0, &decimal(error as u64));
        leave(status_of(error));
    }
    let group = -(pid as i32);
    call(n::SETPGID, [pid, pid, 0, 0, 0, 0]);
    drop((input.0, output.1, errors.1, failure.1));
    let mut input = Some(input.1);
    for end in [&output.0, &errors.0, input.as_ref().unwrap_or(&output.0)] {
        nonblocking(end);
    }
    let mut out = Kept { from: Some(output.0), bytes: Vec::new(), limit, truncated: false };
    let mut err = Kept { from: Some(errors.0), bytes: Vec::new(), limit, truncated: false };
    let (mut buffer, mut ended, mut timed_out) = (vec![0; 64 * 1024], None, false);
    let (mut deadline, mut status) = (now_ms() + within, 0i32);
    loop {
        if let Some(pipe) = &input {
            match write(pipe.0, stdin) {
                Ok(n) if n < stdin.len() => stdin = &stdin[n..],
                Err(EAGAIN) => {}
                Ok(_) | Err(_) => input = None, // who does not read it needs none of it
            }
        }
        out.read(&mut buffer);
        err.read(&mut buffer);
        if ended.is_none() {
            let waited = call(n::WAIT4, [pid, &raw mut status as usize, 1, 0, 0, 0]);
            if waited == pid as isize {
                ended = Some(status);
                deadline = now_ms() + DRAIN_MS;
                continue; // what it wrote just before its end
            }
        }
        let silent = out.from.is_none() && err.from.is_none();
        if ended.is_some() && (silent || now_ms() >= deadline) {
            break;
        }
        if ended.is_none() && now_ms() >= deadline {
            timed_out = true;
            let _ = kill(group, KILL);
            call(n::WAIT4, [pid, &raw mut status as usize, 0, 0, 0, 0]);
            out.read(&mut buffer);
            err.read(&mut buffer);
            ended = Some(status);
            break;
        }
        wait_for([out.from.as_ref(), err.from.as_ref()], input.as_ref());
    }
    let mut why = [0; 16];
    let refused = read(failure.0.0, &mut why).unwrap_or(0);
    let status = ended.unwrap_or(0);
    let (code, signal) = if status & 0x7f == 0 { (status >> 8 & 0xff, 0) } else { (0, status & 0x7f) };
    let flag = |set: bool| decimal(u64::from(set));
    Ok(vec![
        b"ok".to_vec(),
        decimal(code as u64),
        decimal(signal as u64),
        flag(out.truncated || err.truncated),
        flag(timed_out),
        out.bytes,
        err.bytes,
        why[..refused].to_vec(),
    ])
}

fn nonblocking(fd: &Fd) {
    call(n::FCNTL, [fd.0 as usize, 4, NONBLOCK, 0, 0, 0]);
}

/// Waits a moment, or until there is something to read or room to write.
fn wait_for(readable: [Option<&Fd>; 2], writable: Option<&Fd>) {
    // What a negative number stands for is not looked at.
    let entry = |fd: Option<&Fd>, events: u64| u64::from(fd.map_or(-1, |fd| fd.0) as u32) | events << 32;
    let mut entries = [entry(readable[0], 1), entry(readable[1], 1), entry(writable, 4)];
    let time = [0u64, LOOK_MS * 1_000_000];
    call(n::PPOLL, [entries.as_mut_ptr() as usize, entries.len(), time.as_ptr() as usize, 0, 8, 0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_executed_has_a_shells_status() {
        assert_eq!(status_of(ENOENT), 127);
        assert_eq!(status_of(13), 126);
        assert_eq!(execute(&[], &[]), EINVAL);
        let (argv, env) = ([b"no such program".to_vec()], [b"PATH=/nowhere".to_vec()]);
        assert_eq!(execute(&argv, &env), ENOENT);
    }

    #[test]
    fn an_output_is_kept_up_to_its_bound() {
        let (from, to) = pipe(NONBLOCK).unwrap();
        let mut kept = Kept { from: Some(from), bytes: Vec::new(), limit: 3, truncated: false };
        let mut buffer = [0; 64];
        kept.read(&mut buffer);
        assert!(kept.from.is_some() && kept.bytes.is_empty(), "nothing is there yet");
        write_all(to.0, b"text").unwrap();
        kept.read(&mut buffer);
        assert_eq!((kept.bytes.as_slice(), kept.truncated), (b"tex".as_slice(), true));
        drop(to);
        kept.read(&mut buffer);
        assert!(kept.from.is_none(), "its end was seen");
    }

    #[test]
    fn processes_are_looked_at() {
        let own = std::process::id() as i32;
        assert!(is_alive(own));
        assert!(!is_alive(i32::MAX));
        assert!(!others().unwrap().contains(&own));
        assert_eq!(at_word(b") S 1 2", 1), b"S");
    }
}
