package reach

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// Identity is a user with the ids that file systems judge by.
type Identity struct {
	Name   string `json:"name"` // "" where the id has no name here
	Home   string `json:"home"` // home folder; "" if unknown
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Groups []int  `json:"groups"`
}

// String is the name, else the number.
func (i Identity) String() string {
	if i.Name != "" {
		return i.Name
	}
	return strconv.Itoa(i.UID)
}

// Lookup finds a user by name or number.
func Lookup(name string) (Identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return Identity{}, fmt.Errorf("look up user %q: %w", name, err)
		}
	}
	return identity(u)
}

func identity(u *user.User) (Identity, error) {
	i := Identity{Name: u.Username, Home: u.HomeDir}
	var err error
	if i.UID, err = strconv.Atoi(u.Uid); err != nil {
		return i, fmt.Errorf("read uid: %w", err)
	}
	if i.GID, err = strconv.Atoi(u.Gid); err != nil {
		return i, fmt.Errorf("read gid: %w", err)
	}
	groups, err := u.GroupIds()
	if err != nil {
		return i, fmt.Errorf("look up groups of %q: %w", u.Username, err)
	}
	for _, g := range groups {
		if n, err := strconv.Atoi(g); err == nil {
			i.Groups = append(i.Groups, n)
		}
	}
	return i, nil
}

// Service is the user that the server runs as: name if given, else the owner of
// home.
func Service(name, home string) (Identity, error) {
	if name != "" {
		return Lookup(name)
	}
	info, err := os.Stat(home)
	if err != nil {
		return Identity{}, fmt.Errorf("find the service user: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Identity{}, fmt.Errorf("find the service user: no owner of %s", home)
	}
	if u, err := user.LookupId(strconv.Itoa(int(owner.Uid))); err == nil {
		return identity(u)
	}
	return Identity{UID: int(owner.Uid), GID: int(owner.Gid), Groups: []int{int(owner.Gid)}}, nil
}
