// The events of the audit log and the fields of their bodies: the vocabulary that the writers
// (jobs, command line), the fold (core/catalog.h) and docs/formats.md share. Every body is a JSON
// object; a field in [brackets] may be absent. `error` is {"code","message","detail","hint"}.
//
//   instance_created   instance, version, host
//   worker_started     version, server_version, pid, state ("ready" | "misconfigured"),
//                      [problem], [hint]
//   worker_stopped     pid, reason
//   settings_changed   at ("start" | "reload"), changes {name: {"from", "to"}},
//                      settings {all, name: text}
//   schedule_changed   schedule, timezone, active: what is promised from now on
//   run_missed         due, [until], reason: a due time (or all from due until until) without a run
//   run_requested      run, trigger ("manual" | "schedule" | "retry" | "catch_up" | "cli"), actor,
//                      [databases [..]], [due]
//   run_started        run, pid, host, boot_id, monotonic_ms, version, databases [..], globals
//   artifact_sealed    run, artifact, [database], globals, tier, taken, retain_until, size,
//                      sql_size, rows, tables, sha256, seal, [stamp], [anomaly], [upload], started,
//                      finished, warnings [..]
//   artifact_failed    run, [database], globals, error
//   run_finished       run, artifacts, bytes, sql_bytes, rows, seconds, warnings [..]
//   run_failed         run, artifacts, bytes, seconds, error, failed [{"database", "error"}]
//   run_cancelled      run, artifacts, bytes, seconds, error, remaining [..]
//   sweep              removed [{"file","bytes"}], completed [stems], foreign [files]
//   artifact_verified  artifact, result ("good" | "missing" | "corrupt"), [sha256], [problem],
//                      [seconds], [stamp]
//   prune_intended     artifact, reason: its removal begins
//   prune_withdrawn    artifact, reason: it stays after all, whole and sealed
//   artifact_pruned    artifact, bytes, reason: it is gone
//   prune_refused      artifact, reason: the vault keeps it, whatever the settings say
//   artifact_imported  artifact, run, seal, retain_until, stamp: it moved from the plain store into
//   the vault vault_checked      level, [reason], clock, [clock_reason], version: what the vault
//   says of itself retention_extended artifacts {stem: retain_until}: a longer setting counts for
//   what there is upload_begun       artifact, key, upload_id: a multipart upload, before its first
//   part upload_aborted     artifact, key, upload_id object_uploaded    artifact, file, key,
//   version_id, [upload_id], size, state ("locked" |
//                      "unproven" | "unlocked"), mode, until, content, how, [reason]
//   artifact_uploaded  artifact, state, mode, locked_until, objects {file: {"bucket", "key",
//                      "version_id"}}, [reason]: all is in the bucket, and how the store holds it
//   upload_failed      artifact, state ("pending" | "failed"), error
//   lock_extended      artifact, mode, locked_until
//   lock_proven        artifact, state, mode, locked_until, objects, [reason]: of one that was not
//                      locked, when it was looked at again and is held otherwise than before
//   locks_tried        artifacts {stem: reason}, problem: locks that could not be extended or
//                      proven, or objects that could not be deleted; empty: there are none any more
//   legal_hold_changed artifact, on
//   objects_deleted    artifact, objects: after lock and retention were over
//   prefix_marked      bucket, prefix, key, version_id, state, until: it is this instance's
//   anchor_stored      first, last, head, key, version_id, state, until
//   s3_checked         rows [{"check","verdict","detail","finding"}]
//   artifact_held, artifact_released    artifact, actor, reason
//   artifact_accepted  artifact, actor, reason: what is wrong with it is known
//   database_retired   database, actor, reason: its last artifacts are protected no longer
//   retention_changed  from, to {"hourly", "daily", "weekly"} days, effect: until acknowledged
//   settings_acknowledged    actor, reason
//   clock_acknowledged       actor, reason, boot_id, monotonic_ms: the clock is right
//   clock_confirmed          server, difference_ms, boot_id, monotonic_ms: after a restart, by the
//                      Date of a store whose certificate was checked
//   restore_finished   artifact, target, host, port, rows, seconds, left_out [..]
//   restore_failed     artifact, target, host, port, error
//   notified           event, program, result ("ok" | "failed"), [problem], seconds
//   log_torn           offset, bytes, sha256
//
// Of origin "vault" (src/vault/README.md): vault_sealed, log_adopted, and its own prune_intended,
// artifact_pruned, artifact_held, artifact_released, retention_extended, clock_acknowledged, sweep
// and log_torn, which have the fields above.
//
// Any body may carry boot_id and monotonic_ms, the clocks of its moment beside the record's time.
// times are format_time() texts; sizes are bytes; databases are names.
#pragma once

namespace immbackup::event {

inline constexpr const char* kInstanceCreated = "instance_created";
inline constexpr const char* kWorkerStarted = "worker_started";
inline constexpr const char* kWorkerStopped = "worker_stopped";
inline constexpr const char* kSettingsChanged = "settings_changed";
inline constexpr const char* kScheduleChanged = "schedule_changed";
inline constexpr const char* kRunMissed = "run_missed";
inline constexpr const char* kRunRequested = "run_requested";
inline constexpr const char* kRunStarted = "run_started";
inline constexpr const char* kArtifactSealed = "artifact_sealed";
inline constexpr const char* kArtifactFailed = "artifact_failed";
inline constexpr const char* kRunFinished = "run_finished";
inline constexpr const char* kRunFailed = "run_failed";
inline constexpr const char* kRunCancelled = "run_cancelled";
inline constexpr const char* kSweep = "sweep";
inline constexpr const char* kArtifactVerified = "artifact_verified";
inline constexpr const char* kPruneIntended = "prune_intended";
inline constexpr const char* kPruneWithdrawn = "prune_withdrawn";
inline constexpr const char* kArtifactPruned = "artifact_pruned";
inline constexpr const char* kPruneRefused = "prune_refused";
inline constexpr const char* kArtifactImported = "artifact_imported";
inline constexpr const char* kVaultChecked = "vault_checked";
inline constexpr const char* kRetentionExtended = "retention_extended";
inline constexpr const char* kUploadBegun = "upload_begun";
inline constexpr const char* kUploadAborted = "upload_aborted";
inline constexpr const char* kObjectUploaded = "object_uploaded";
inline constexpr const char* kArtifactUploaded = "artifact_uploaded";
inline constexpr const char* kUploadFailed = "upload_failed";
inline constexpr const char* kLockExtended = "lock_extended";
inline constexpr const char* kLockProven = "lock_proven";
inline constexpr const char* kLocksTried = "locks_tried";
inline constexpr const char* kLegalHoldChanged = "legal_hold_changed";
inline constexpr const char* kObjectsDeleted = "objects_deleted";
inline constexpr const char* kPrefixMarked = "prefix_marked";
inline constexpr const char* kAnchorStored = "anchor_stored";
inline constexpr const char* kS3Checked = "s3_checked";
inline constexpr const char* kArtifactHeld = "artifact_held";
inline constexpr const char* kArtifactReleased = "artifact_released";
inline constexpr const char* kArtifactAccepted = "artifact_accepted";
inline constexpr const char* kDatabaseRetired = "database_retired";
inline constexpr const char* kRetentionChanged = "retention_changed";
inline constexpr const char* kSettingsAcknowledged = "settings_acknowledged";
inline constexpr const char* kClockAcknowledged = "clock_acknowledged";
inline constexpr const char* kClockConfirmed = "clock_confirmed";
inline constexpr const char* kRestoreFinished = "restore_finished";
inline constexpr const char* kRestoreFailed = "restore_failed";
inline constexpr const char* kNotified = "notified";
inline constexpr const char* kLogTorn = "log_torn";
inline constexpr const char* kVaultSealed = "vault_sealed";
inline constexpr const char* kLogAdopted = "log_adopted";

// What the program in on_event is told beside failure, recovery and overdue.
inline constexpr const char* kAlarmAnomaly = "anomaly";
inline constexpr const char* kAlarmArtifactLost = "artifact_lost";
inline constexpr const char* kAlarmPruneBlocked = "prune_blocked";
inline constexpr const char* kAlarmPruneFailed = "prune_failed";
inline constexpr const char* kAlarmUploadFailed = "upload_failed";
inline constexpr const char* kAlarmNotLocked = "not_locked";
inline constexpr const char* kAlarmSealWeakened = "seal_weakened";
inline constexpr const char* kAlarmRetentionChanged = "retention_changed";

}  // namespace immbackup::event
