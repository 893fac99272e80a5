import { useEffect, useState } from "react";

import { Account } from "./Account";
import { Devices } from "./Devices";
import { REASONS } from "./messages";
import { ResetPassword } from "./ResetPassword";
import { useSession } from "./session";
import { Users } from "./Users";
import { Welcome } from "./Welcome";

/** Returns the token and the username of a reset link, and removes them from the address and the history. */
function takeResetLink() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get("token");
  if (!token) return undefined;
  history.replaceState(null, "", location.pathname + location.search);
  return { token, username: fragment.get("username") ?? "" };
}

const resetLink = takeResetLink();

export function App() {
  const { user, reason } = useSession();
  const [reset, setReset] = useState(resetLink);
  const [notice, setNotice] = useState("");
  useEffect(() => {
    if (user) setNotice("");
  }, [user]);

  if (reset) {
    const done = (message: string) => {
      setNotice(message);
      setReset(undefined);
    };
    return <ResetPassword {...reset} onDone={done} />;
  }
  if (!user) {
    const text = notice || (reason ? REASONS[reason] : "");
    return <Welcome notice={text} username={resetLink?.username ?? ""} />;
  }
  return (
    <main>
      <Account user={user} onNotice={setNotice} />
      <Devices />
      <Users />
    </main>
  );
}
