# The formula for a tap. `packaging/package.py formula` fills in what is between `@`, from the archives of a release.
class Streamkit < Formula
  desc "@DESCRIPTION@"
  homepage "https://github.com/@REPOSITORY@"
  version "@VERSION@"
  license any_of: ["MIT", "Apache-2.0"]

  on_macos do
    on_arm do
      url "https://github.com/@REPOSITORY@/releases/download/v@VERSION@/streamkit-v@VERSION@-aarch64-apple-darwin.tar.gz"
      sha256 "@SHA256 aarch64-apple-darwin@"
    end
    on_intel do
      url "https://github.com/@REPOSITORY@/releases/download/v@VERSION@/streamkit-v@VERSION@-x86_64-apple-darwin.tar.gz"
      sha256 "@SHA256 x86_64-apple-darwin@"
    end
  end

  on_linux do
    on_arm do
      url "https://github.com/@REPOSITORY@/releases/download/v@VERSION@/streamkit-v@VERSION@-aarch64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256 aarch64-unknown-linux-gnu@"
    end
    on_intel do
      url "https://github.com/@REPOSITORY@/releases/download/v@VERSION@/streamkit-v@VERSION@-x86_64-unknown-linux-gnu.tar.gz"
      sha256 "@SHA256 x86_64-unknown-linux-gnu@"
    end
  end

  def install
    bin.install "streamkit"
    man1.install Dir["man/man1/*"]
    bash_completion.install "completions/streamkit.bash" => "streamkit"
    zsh_completion.install "completions/_streamkit"
    fish_completion.install "completions/streamkit.fish"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/streamkit --version")
    system bin/"streamkit", "init", "retail"
    system bin/"streamkit", "check"
  end
end
