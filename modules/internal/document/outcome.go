package document

// Outcomes of a run.
const (
	Rehearsed  = "rehearsed"
	Migrated   = "migrated"
	Already    = "already"
	Failed     = "failed"
	RolledBack = "rolled-back"
	Verified   = "verified"
	Accepted   = "accepted"
	Absent     = "absent"  // a node was taken out of the cluster
	Refused    = "refused" // nothing was changed
)

// What was run.
const (
	OfMigration    = "migration"
	OfRollback     = "rollback"
	OfVerification = "verification"
	OfAcceptance   = "acceptance"
	OfAddition     = "addition" // of a further node
	OfRemoval      = "removal"  // of one from the cluster
)
