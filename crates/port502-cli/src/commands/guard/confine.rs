//! Rights that a guard gives up once it listens: whoever got in through a flaw of it could start no program, load nothing into
//! the kernel and look into no other process.

/// Gives up, for all threads and for good, the system calls that no guard needs.
///
/// # Errors
/// Why the system does not let it.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) fn no_programs() -> Result<(), String> {
    use std::collections::BTreeMap;

    use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter_all_threads};

    /// They start programs, look into others, change the kernel, or change what is where.
    const NEVER: [i64; 27] = [
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_kcmp,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_add_key,
        libc::SYS_keyctl,
        libc::SYS_request_key,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_settimeofday,
        libc::SYS_acct,
    ];
    let rules: BTreeMap<i64, Vec<seccompiler::SeccompRule>> =
        NEVER.iter().map(|call| (*call, Vec::new())).collect();
    let refuse = SeccompAction::Errno(u32::try_from(libc::EPERM).unwrap_or(1));
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(text)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).map_err(text)?;
    let program: BpfProgram = filter.try_into().map_err(text)?;
    apply_filter_all_threads(&program).map_err(text)
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// There is nothing for it on this system.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub(super) fn no_programs() -> Result<(), String> {
    Ok(())
}
