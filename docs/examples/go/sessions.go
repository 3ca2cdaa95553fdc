// Package sessions has the sessions of Session Cleanup, for a login service: log in, refresh, list and close them.
//
// All times are stored as whole epoch seconds. Each write has a condition. A failed condition is an outcome, not an error.
// Only Login and Create create a session, and no function makes an inactive session active.
package sessions

import (
	"context"
	"errors"
	"sort"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Outcome is the result of a write.
type Outcome string

const (
	Done     Outcome = "done"
	Exists   Outcome = "exists"    // A record with this key already exists. It is unchanged.
	Ended    Outcome = "ended"     // The session is inactive or has expired. It never becomes live again.
	NotFound Outcome = "not found" // The user has no such session, or the session no such refresh token. Nothing was changed.
	Reused   Outcome = "reused"    // The refresh token was used before, and its grace period is over. The session was closed.
)

// Attributes are optional attributes of a session.
type Attributes struct {
	IPAddress    string
	UserAgent    string
	ClientID     string
	AuthTime     time.Time
	MaxExpiresAt time.Time // The session's absolute end: no refresh moves the expiry time past it.
	Other        Item      // The application's own attributes.
}

// Session is a session as it is stored. A time that is missing is zero.
type Session struct {
	ID                 string
	IsActive           bool
	CreatedAt          time.Time
	ExpiresAt          time.Time
	LastUsedAt         time.Time
	DeactivatedAt      time.Time
	DeactivationReason string
	Attributes
}

// Login is a new session. The client gets the refresh token; only its hash is stored.
type Login struct {
	Session      string
	RefreshToken string
	ExpiresAt    time.Time
}

// Refresh is the result of a refresh. If it is Done, the client gets the new refresh token and a new access token.
type Refresh struct {
	Outcome      Outcome
	RefreshToken string
	ExpiresAt    time.Time
}

// Claims are the claims of an access token, to be signed by a JWT library.
type Claims struct {
	Issuer    string `json:"iss"`
	Audience  string `json:"aud"`
	User      string `json:"sub"`
	Session   string `json:"sid"`
	ID        string `json:"jti"`
	IssuedAt  int64  `json:"iat"`
	ExpiresAt int64  `json:"exp"`
	Scope     string `json:"scope"`
	AuthTime  int64  `json:"auth_time,omitempty"` // Set it if it is known.
	ClientID  string `json:"client_id,omitempty"` // Set it if it is known.
}

// Sessions reads and writes the sessions of a table.
type Sessions struct {
	Client              *dynamodb.Client
	Table               string
	Retention           time.Duration    // SessionRetentionDays of the stack
	Shards              int              // DueShards of the stack
	Grace               time.Duration    // How long a used refresh token may be used again: up to 300 seconds
	AccessTokenLifetime time.Duration    // An access token does not live longer than its session
	Now                 func() time.Time // The clock
}

// New returns Sessions with the defaults of the stack.
func New(client *dynamodb.Client, table string) *Sessions {
	return &Sessions{
		Client:              client,
		Table:               table,
		Retention:           30 * 24 * time.Hour,
		Shards:              16,
		Grace:               30 * time.Second,
		AccessTokenLifetime: 15 * time.Minute,
		Now:                 time.Now,
	}
}

// Login creates a session with a random ID and a refresh token.
func (s *Sessions) Login(ctx context.Context, user string, expiresAt time.Time, attributes Attributes) (Login, error) {
	session, token := randomHex(16), randomHex(32)
	item, err := s.session(user, session, expiresAt, attributes)
	if err != nil {
		return Login{}, err
	}
	item["refresh_hash"] = text(sha256Hex(token))
	// The ID is random. If it exists, the response to an earlier attempt of the SDK was lost.
	if _, err := s.create(ctx, item); err != nil {
		return Login{}, err
	}
	return Login{session, token, storedTime(item, "expires_at")}, nil
}

// Create creates a session with an ID of your own and without a refresh token: Done or Exists.
func (s *Sessions) Create(
	ctx context.Context, user, session string, expiresAt time.Time, attributes Attributes,
) (Outcome, error) {
	item, err := s.session(user, session, expiresAt, attributes)
	if err != nil {
		return "", err
	}
	return s.create(ctx, item)
}

// Refresh uses a refresh token: replaces it, and moves the session's expiry time, to its absolute end at most.
//
// Its outcome is Done, Ended, NotFound or Reused. A token may be used again within the grace period, and gets the same
// replacement: two tabs of a browser, or a client that did not get the response, stay signed in.
func (s *Sessions) Refresh(
	ctx context.Context, user, session, refreshToken string, expiresAt time.Time,
) (Refresh, error) {
	if err := check(expiresAt, user, session); err != nil {
		return Refresh{}, err
	}
	if s.Grace < 0 || s.Grace > 300*time.Second {
		return Refresh{}, errors.New("the grace period must be 0 to 300 seconds")
	}
	now, used := s.Now(), sha256Hex(refreshToken)
	var result Refresh
	outcome, err := s.change(ctx, user, session, func(found Item) (Outcome, error) {
		if !isLive(found, now) {
			return Ended, nil
		}
		isCurrent := textOf(found, "refresh_hash") == used
		if !isCurrent {
			rotatedAt := storedTime(found, "refresh_rotated_at")
			if textOf(found, "refresh_previous_hash") != used || rotatedAt.IsZero() {
				return NotFound, nil
			}
			if now.Unix() >= rotatedAt.Add(s.Grace).Unix() {
				outcome, err := s.deactivate(ctx, found, "refresh_reused", now)
				if outcome == Done {
					outcome = Reused
				}
				return outcome, err
			}
			if salt := textOf(found, "refresh_salt"); salt != "" {
				result = Refresh{Done, replacement(refreshToken, salt), storedTime(found, "expires_at")}
				return Done, nil
			}
		}
		salt, end := randomHex(32), untilEnd(expiresAt, found)
		result = Refresh{Done, replacement(refreshToken, salt), end}
		update := "refresh_hash = :new, refresh_salt = :salt, last_used_at = :now, expires_at = :expires_at, #ttl = :ttl"
		condition := "refresh_previous_hash = :used AND attribute_not_exists(refresh_salt)"
		if isCurrent {
			update += ", refresh_previous_hash = :used, refresh_rotated_at = :now"
			condition = "refresh_hash = :used"
		}
		if due, ok := numberOf(found, "due_at"); ok && due > float64(end.Unix()) {
			update += ", due_at = :expires_at"
		} else {
			// The index is not written: this costs one unit instead of three. The cleanup moves an early entry.
			condition += " AND (attribute_not_exists(due_at) OR NOT attribute_type(due_at, :number) OR due_at <= :expires_at)"
		}
		values := s.live(now, end)
		values[":new"] = text(sha256Hex(result.RefreshToken))
		values[":salt"] = text(salt)
		values[":used"] = text(used)
		return s.update(ctx, found, update, live+" AND "+condition, values)
	})
	if err != nil || outcome != Done {
		return Refresh{Outcome: outcome}, err
	}
	return result, nil
}

// Extend moves the expiry time of a live session without its refresh token: Done, Ended or NotFound.
func (s *Sessions) Extend(ctx context.Context, user, session string, expiresAt time.Time) (Outcome, error) {
	if err := check(expiresAt, user, session); err != nil {
		return "", err
	}
	now := s.Now()
	return s.change(ctx, user, session, func(found Item) (Outcome, error) {
		if !isLive(found, now) {
			return Ended, nil
		}
		values := s.live(now, untilEnd(expiresAt, found))
		values[":due_key"] = text(s.dueKey("deactivate", found))
		update := "expires_at = :expires_at, due_at = :expires_at, due_key = :due_key, #ttl = :ttl"
		return s.update(ctx, found, update, live, values)
	})
}

// Logout closes a session because its user signs out: Done, Ended or NotFound.
func (s *Sessions) Logout(ctx context.Context, user, session string) (Outcome, error) {
	return s.close(ctx, user, session, "logout")
}

// Revoke closes a session on behalf of someone else: Done, Ended or NotFound.
func (s *Sessions) Revoke(ctx context.Context, user, session string) (Outcome, error) {
	return s.close(ctx, user, session, "revoked")
}

// RevokeOthers closes all active sessions of a user but the current one. It returns how many it closed.
func (s *Sessions) RevokeOthers(ctx context.Context, user, current string) (int, error) {
	if err := checkIDs(current); err != nil {
		return 0, err
	}
	return s.revoke(ctx, user, func(session string) bool { return session != current })
}

// RevokeAll closes all active sessions of a user, whatever is written to them meanwhile. It returns how many it closed.
func (s *Sessions) RevokeAll(ctx context.Context, user string) (int, error) {
	return s.revoke(ctx, user, func(string) bool { return true })
}

// List returns a user's sessions, newest first, without the hashes of refresh tokens.
func (s *Sessions) List(ctx context.Context, user string) ([]Session, error) {
	items, err := s.sessionsOf(ctx, user)
	if err != nil {
		return nil, err
	}
	sessions := make([]Session, 0, len(items))
	for _, item := range items {
		sessions = append(sessions, readSession(item))
	}
	sort.SliceStable(sessions, func(i, j int) bool { return sessions[i].CreatedAt.After(sessions[j].CreatedAt) })
	return sessions, nil
}

// AddRefreshToken stores the SHA-256 of a refresh token in a record of its own: Done or Exists.
func (s *Sessions) AddRefreshToken(ctx context.Context, user, session, token string, expiresAt time.Time) (Outcome, error) {
	if err := check(expiresAt, user, session); err != nil {
		return "", err
	}
	return s.create(ctx, s.refreshToken(user, session, token, expiresAt))
}

// RotateRefreshToken replaces a refresh token that has a record of its own, in one transaction.
//
// It returns Done; Ended if the session is not live; NotFound if the old token belongs to another session, was used before
// or has expired; Exists if the new token already exists.
func (s *Sessions) RotateRefreshToken(
	ctx context.Context, user, session, old, new string, expiresAt time.Time,
) (Outcome, error) {
	if err := check(expiresAt, user, session); err != nil {
		return "", err
	}
	table, now := aws.String(s.Table), number(s.Now().Unix())
	_, err := s.Client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{ConditionCheck: &types.ConditionCheck{
			TableName:                 table,
			Key:                       sessionKey(user, session),
			ConditionExpression:       aws.String("is_active = :true AND expires_at > :now"),
			ExpressionAttributeValues: Item{":true": boolean(true), ":now": now},
		}},
		{Delete: &types.Delete{
			TableName:                 table,
			Key:                       refreshTokenKey(user, old),
			ConditionExpression:       aws.String("session_id = :session AND expires_at > :now"),
			ExpressionAttributeValues: Item{":session": text(session), ":now": now},
		}},
		{Put: &types.Put{
			TableName:           table,
			Item:                s.refreshToken(user, session, new, expiresAt),
			ConditionExpression: aws.String("attribute_not_exists(pk)"),
		}},
	}})
	var cancelled *types.TransactionCanceledException
	if errors.As(err, &cancelled) {
		// There is one reason for each write, in the same order.
		outcomes := []Outcome{Ended, NotFound, Exists}
		for i, reason := range cancelled.CancellationReasons {
			if aws.ToString(reason.Code) == "ConditionalCheckFailed" {
				return outcomes[i], nil
			}
		}
	}
	if err != nil {
		return "", err
	}
	return Done, nil
}

// Blacklist denies one access token from now on; expiresAt is that token's exp: Done or Exists.
func (s *Sessions) Blacklist(ctx context.Context, user, jti string, expiresAt time.Time) (Outcome, error) {
	if err := check(expiresAt, user, jti); err != nil {
		return "", err
	}
	item := Item{"pk": text("USER#" + user), "sk": text("BLACKLIST#" + jti), "user_id": text(user), "jti": text(jti)}
	return s.create(ctx, s.withTimes(item, expiresAt))
}

// AccessTokenClaims returns the claims of an access token. expiresAt is that of the session.
//
// The token expires with its session at the latest: the authorizer denies it from then on, and a client that reads exp
// should know this.
func (s *Sessions) AccessTokenClaims(
	user, session string, expiresAt time.Time, issuer, audience, scope string,
) (Claims, error) {
	if err := check(expiresAt, user, session); err != nil {
		return Claims{}, err
	}
	now := s.Now()
	end := now.Add(s.AccessTokenLifetime)
	if expiresAt.Before(end) {
		end = expiresAt
	}
	return Claims{
		Issuer:    issuer,
		Audience:  audience,
		User:      user,
		Session:   session,
		ID:        randomHex(16),
		IssuedAt:  now.Unix(),
		ExpiresAt: end.Unix(),
		Scope:     scope,
	}, nil
}
