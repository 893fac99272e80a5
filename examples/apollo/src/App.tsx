import { Account } from "./Account";
import { useSession } from "./auth";
import { SignIn } from "./SignIn";
import { Users } from "./Users";

export function App() {
  const { signedIn, reason } = useSession();
  if (!signedIn) return <SignIn reason={reason} />;
  return (
    <main>
      <Account />
      <Users />
    </main>
  );
}
