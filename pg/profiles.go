package pg

import (
	"context"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/taskgrove/taskgrove/dag"
)

// Bounds of profiles.
const (
	MaxProfiles        = 1000 // of a namespace
	MaxProfileVersions = 100  // of a profile: older ones are forgotten
)

// ErrTooManyProfiles: a namespace would have more than may be.
var ErrTooManyProfiles = fmt.Errorf("the namespace would have more than %d profiles", MaxProfiles)

// Profile is a version of a registered profile.
type Profile struct {
	Name      string
	Version   int32  // from 1
	UserID    string // whose it is; empty: nobody's
	SHA256    []byte // of the body
	Body      []byte // JSON, unrendered; nil: not asked for
	CreatedBy string
	CreatedAt time.Time
	Versions  int  // that are kept; 0: not asked for
	Fresh     bool // it was stored just now
}

// ApplyProfiles stores a version of each profile whose body is another one than that of the newest, all of them or none, and completes what is given. The owner of what there is stays; only,
// unless it is empty, is the only user whose they may be. Names are different. [ErrTooManyProfiles]; [ErrOthers]; *[dag.LevelError].
func (s *Store) ApplyProfiles(ctx context.Context, namespace dag.NamespaceKey, list []*Profile, only string) error {
	itself := namespaceItself(namespace)
	z, err := s.seals.sealer(ctx, itself)
	if err != nil {
		return err
	}
	names := make([]string, len(list))
	for i, p := range list {
		sum := sha256.Sum256(p.Body)
		names[i], p.SHA256 = p.Name, sum[:]
	}
	var done []Profile
	err = s.transaction(ctx, func(ctx context.Context, c *pgx.Conn) error {
		b := &pgx.Batch{}
		begin(b, c)
		queueCoordinators(b, dag.RegistryLevel, s.version)
		b.Queue(sql("LockFlows"), namespace)
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return levelRefusal(err, s.editLevels(), dag.RegistryLevel)
		}
		count, last := 0, map[string]*Profile{}
		b = &pgx.Batch{}
		b.Queue(sql("CountProfiles"), namespace, MaxProfiles).QueryRow(func(row pgx.Row) error { return row.Scan(&count) })
		b.Queue(sql("LastProfiles"), namespace, names).Query(func(rows pgx.Rows) error {
			there, err := pgx.CollectRows(rows, scanProfile)
			for _, p := range there {
				last[p.Name] = p
			}
			return err
		})
		if err := c.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		if count+len(list)-len(last) > MaxProfiles && len(last) < len(list) {
			return ErrTooManyProfiles
		}
		done = done[:0]
		var versions []int32
		var fresh, users, bodies []*string
		var sums, envelopes [][]byte
		at := map[string]int{}
		for i, p := range list {
			made, was := *p, last[p.Name]
			switch {
			case was == nil:
				made.Version = 1
			case only != "" && was.UserID != only:
				return ErrOthers
			default:
				if made.Version, made.UserID = was.Version+1, was.UserID; string(was.SHA256) == string(p.SHA256) {
					made = *was
				}
			}
			done = append(done, made)
			if was != nil && made.Version == was.Version {
				continue
			}
			done[i].Fresh, at[p.Name] = true, i
			versions, fresh, users, sums = append(versions, made.Version), append(fresh, &p.Name), append(users, &done[i].UserID), append(sums, made.SHA256)
			if z == nil {
				bodies, envelopes = append(bodies, new(string(p.Body))), append(envelopes, nil)
				continue
			}
			if err := storableJSON(p.Body); err != nil {
				return err
			}
			bodies, envelopes = append(bodies, nil), append(envelopes, z.seal(itself, kindProfile, p.Body))
		}
		if len(fresh) == 0 {
			_, err := c.Exec(ctx, "rollback")
			return err
		}
		b = &pgx.Batch{}
		b.Queue(sql("InsertProfiles"), namespace, fresh, versions, users, sums, bodies, envelopes, list[0].CreatedBy, MaxProfileVersions).Query(func(rows pgx.Rows) error {
			name, when := "", time.Time{}
			_, err := pgx.ForEachRow(rows, []any{&name, &when}, func() error {
				done[at[name]].CreatedAt = when
				return nil
			})
			return err
		})
		b.Queue("commit")
		return c.SendBatch(ctx, b).Close()
	})
	if err != nil {
		return fmt.Errorf("store profiles: %w", err)
	}
	for i := range done {
		*list[i] = done[i]
	}
	return nil
}

func scanProfile(row pgx.CollectableRow) (*Profile, error) {
	p := &Profile{}
	return p, row.Scan(&p.Name, &p.Version, &p.UserID, &p.SHA256, &p.CreatedBy, &p.CreatedAt)
}

// Profile is a version of a profile with its body, and of how many; 0: the newest. [ErrNotFound].
func (s *Store) Profile(ctx context.Context, namespace dag.NamespaceKey, name string, version int32) (*Profile, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	p := &Profile{}
	var envelope []byte
	if err := s.pool.QueryRow(ctx, sql("ProfileNamed"), namespace, name, version).Scan(&p.Name, &p.Version, &p.UserID, &p.SHA256, &p.CreatedBy, &p.CreatedAt, &p.Body, &envelope, &p.Versions); err != nil {
		return nil, orNone(err, ErrNotFound)
	}
	return p, s.seals.open(ctx, namespaceItself(namespace), kindProfile, envelope, &p.Body)
}

// Profiles lists the newest versions of profiles with names after one, of a user unless that is empty, without bodies.
func (s *Store) Profiles(ctx context.Context, namespace dag.NamespaceKey, after, user string, limit int) ([]*Profile, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ProfilesBehind"), namespace, after, user, limit)
	if err != nil {
		return nil, fmt.Errorf("read profiles: %w", err)
	}
	return pgx.CollectRows(rows, scanProfile)
}

// ProfilesToRun reads the newest versions of profiles that are the user's, or nobody's; those that are not there are left out. Each has its name, version and body alone.
func (s *Store) ProfilesToRun(ctx context.Context, namespace dag.NamespaceKey, names []string, user string) ([]*Profile, error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	rows, err := s.pool.Query(ctx, sql("ProfilesToRun"), namespace, names, user)
	if err != nil {
		return nil, fmt.Errorf("read profiles: %w", err)
	}
	var envelopes [][]byte
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (*Profile, error) {
		p, envelope := &Profile{}, []byte(nil)
		err := row.Scan(&p.Name, &p.Version, &p.Body, &envelope)
		envelopes = append(envelopes, envelope)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read profiles: %w", err)
	}
	for i, p := range list {
		if err := s.seals.open(ctx, namespaceItself(namespace), kindProfile, envelopes[i], &p.Body); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// OwnerOfProfile is whose a profile is; empty: nobody's. [ErrNotFound].
func (s *Store) OwnerOfProfile(ctx context.Context, namespace dag.NamespaceKey, name string) (user string, err error) {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	return user, orNone(s.pool.QueryRow(ctx, sql("OwnerOfProfile"), namespace, name).Scan(&user), ErrNotFound)
}

// DeleteProfile deletes all versions of a profile, if it is the user's only, unless that is empty. Runs have what they took of it. [ErrNotFound].
func (s *Store) DeleteProfile(ctx context.Context, namespace dag.NamespaceKey, name, only string) error {
	ctx, cancel := s.deadline(ctx)
	defer cancel()
	tag, err := s.pool.Exec(ctx, sql("DeleteProfile"), namespace, name, only)
	if err != nil {
		return fmt.Errorf("delete a profile: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNotFound
	}
	return nil
}
