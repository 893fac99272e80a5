import { Form } from "./Form";
import { session } from "./session";

interface Props {
  token: string;
  username: string;
  onDone: (notice: string) => void;
}

/** The page of a reset link, with which a user replaces a forgotten password. */
export function ResetPassword({ token, username, onDone }: Props) {
  return (
    <main className="narrow">
      <Form
        title="Choose a new password"
        notice="All devices that are signed in to your account will be signed out."
        fields={[
          // Password managers store the new password under this name.
          { name: "username", label: "Username", autoComplete: "username", value: username, readOnly: true },
          { name: "newPassword", label: "New password", type: "password", autoComplete: "new-password" },
        ]}
        button="Set password"
        onSubmit={async ({ newPassword = "" }) => {
          const { userErrors } = await session.resetPassword({ token, newPassword });
          if (!userErrors.length) onDone("Your password is set. Sign in with it.");
          return userErrors;
        }}
      >
        <button type="button" className="link" onClick={() => onDone("")}>
          Keep my password
        </button>
      </Form>
    </main>
  );
}
