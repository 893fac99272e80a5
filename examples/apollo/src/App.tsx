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

const firstLink = takeResetLink();

export function App() {
  const { user, reason } = useSession();
  const [link, setLink] = useState(firstLink);
  const [isReset, setReset] = useState(!!firstLink);
  const [notice, setNotice] = useState("");
  useEffect(() => {
    if (user) setNotice("");
  }, [user]);
  useEffect(() => {
    // A link that is opened in this tab changes only the fragment, and does not load the page.
    function open() {
      const next = takeResetLink();
      if (!next) return;
      setLink(next);
      setReset(true);
    }
    addEventListener("hashchange", open);
    return () => removeEventListener("hashchange", open);
  }, []);

  if (link && isReset) {
    const done = (message: string) => {
      setNotice(message);
      setReset(false);
    };
    return <ResetPassword key={link.token} {...link} onDone={done} />;
  }
  if (!user) {
    const text = notice || (reason ? REASONS[reason] : "");
    return <Welcome notice={text} username={link?.username ?? ""} />;
  }
  return (
    <main>
      <Account user={user} onNotice={setNotice} />
      <Devices />
      <Users />
    </main>
  );
}
