// The operations in the first tabs of GraphiQL.

const START = `# Run this with Ctrl+Enter: once
# before you sign in, once after.
query Me {
  me {
    username
    role
    email
    createdAt
  }
}`;

const REGISTER = `# See userErrors in the response.
mutation Register {
  createUser(input: {
    username: "grace"
    password: "short"
  }) {
    user { id }
    userErrors { field message }
  }
}`;

const REST = [
  `# The sessions of your devices.
query Sessions {
  me {
    sessions {
      nodes {
        device
        current
        expiresAt
      }
    }
  }
}`,
  `# This revokes your token at once
# and signs you out of this page.
mutation RevokeToken {
  revokeToken
}`,
];

const ADMIN = [
  `# The first page of the users.
query Users {
  users(first: 10) {
    totalCount
    nodes {
      id
      username
      role
      lastSignInAt
    }
    pageInfo { hasNextPage endCursor }
  }
}`,
  `# The audit trail, newest first.
query Audit {
  auditEvents(first: 10) {
    nodes {
      at
      kind
      userId
      actorId
      address
    }
  }
}`,
  `# This requires your password:
# add { "Authorization": "Basic …" }
# under Headers.
mutation Invite {
  inviteUser(input: {
    username: "grace"
  }) {
    link { url expiresAt }
    userErrors { field message }
  }
}`,
];

/** Returns the operations for the signed-in user. */
export const tour = (role, hasRegistration) => [
  START,
  ...(hasRegistration ? [REGISTER] : []),
  ...(role === 'ADMIN' ? ADMIN : []),
  ...REST,
];
